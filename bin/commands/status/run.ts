import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '../../../db/client.ts';
import { assertSchema } from '../../../db/migrate.ts';
import { readApps } from '../../../db/queries/apps.ts';
import { readQuarantined } from '../../../db/queries/explain.ts';
import { readLearning } from '../../../db/queries/learning.ts';
import { checkStatus } from '../../../src/status/check-status.ts';
import { formatStatus } from '../../../src/status/format-status.ts';
import { formatLearning, reportLearning } from '../../../src/status/learning-report.ts';
import { readStatus } from '../../../src/status/read-status.ts';
import { jsonText } from '../../../src/terminal/json-text.ts';
import { printable } from '../../../src/terminal/printable.ts';
import { CommandError } from '../../command-error.ts';
import { currentBuild, readEnvironment, withDatabase } from '../../environment.ts';

const watchMs = 2000;
const quarantinedShown = 1000;
const clearScreen = '\u001b[H\u001b[2J';

interface StatusCommand {
  readonly json?: boolean;
  readonly watch?: boolean;
  readonly quarantined?: boolean;
  readonly learning?: boolean;
  readonly check?: boolean;
  /** Milliseconds. */
  readonly maxAge?: number;
}

/** `status [--json] [--watch] [--quarantined | --learning | --check [--max-age <duration>]]` */
export async function statusCommand(options: StatusCommand): Promise<void> {
  if (options.maxAge !== undefined && options.check !== true)
    throw new CommandError('--max-age goes with --check.', 2);
  const environment = readEnvironment(['database']);
  await withDatabase(environment, async (db) => {
    await assertSchema(db);
    if (options.quarantined === true) {
      await listQuarantined(db, options.json === true);
      return;
    }
    if (options.learning === true) {
      await printLearning(db, options.json === true);
      return;
    }
    if (options.check === true) {
      await check(db, options);
      return;
    }
    const build = currentBuild();
    for (;;) {
      const status = await readStatus(db);
      const text = options.json === true ? `${jsonText({ build, ...status })}\n` : formatStatus(status);
      const redraw = options.watch === true && options.json !== true && process.stdout.isTTY;
      process.stdout.write(redraw ? clearScreen + text : text);
      if (options.watch !== true) return;
      await sleep(watchMs);
    }
  });
}

async function check(db: Database, { json, maxAge }: StatusCommand): Promise<void> {
  const problems = checkStatus(await readStatus(db), maxAge === undefined ? undefined : maxAge / 1000);
  const lines = problems.map((sentence) => `${printable(sentence)}\n`).join('') || 'All is well.\n';
  process.stdout.write(json === true ? `${jsonText({ well: problems.length === 0, problems })}\n` : lines);
  if (problems.length > 0) throw new CommandError('Not all is well.');
}

async function printLearning(db: Database, json: boolean): Promise<void> {
  for (const { appId } of await readApps(db)) {
    const report = reportLearning(appId, await readLearning(db, appId));
    process.stdout.write(json ? `${jsonText(report)}\n` : formatLearning(report));
  }
}

async function listQuarantined(db: Database, json: boolean): Promise<void> {
  const accounts = await readQuarantined(db, quarantinedShown);
  if (json) {
    process.stdout.write(`${jsonText(accounts)}\n`);
    return;
  }
  if (accounts.length === 0) process.stdout.write('No account is quarantined.\n');
  for (const { appId, accountId, since, code, message } of accounts) {
    const why = `${code ? `${code} ` : ''}${printable(message ?? 'no reason known')}`;
    process.stdout.write(
      `${appId}  ${printable(accountId).padEnd(34)}${since?.toISOString() ?? ''}  ${why}\n`,
    );
  }
  if (accounts.length === quarantinedShown)
    process.stdout.write(`The newest ${quarantinedShown} are shown.\n`);
}
