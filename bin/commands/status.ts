import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '../../db/client.ts';
import { assertSchema } from '../../db/migrate.ts';
import { readApps } from '../../db/queries/apps.ts';
import { readQuarantined } from '../../db/queries/explain.ts';
import { readLearning } from '../../db/queries/learning.ts';
import { formatStatus } from '../../src/status/format-status.ts';
import { jsonText } from '../../src/status/json-text.ts';
import { formatLearning, reportLearning } from '../../src/status/learning-report.ts';
import { printable } from '../../src/status/printable.ts';
import { readStatus } from '../../src/status/read-status.ts';
import { readEnvironment, withDatabase } from '../environment.ts';

const watchMs = 2000;
const quarantinedShown = 1000;
const clearScreen = '\u001b[H\u001b[2J';

export interface StatusCommand {
  readonly json?: boolean;
  readonly watch?: boolean;
  readonly quarantined?: boolean;
  readonly learning?: boolean;
}

/** `status [--json] [--watch] [--quarantined | --learning]` */
export async function statusCommand(options: StatusCommand): Promise<void> {
  const environment = readEnvironment(['database']);
  await withDatabase(environment, async (db) => {
    await assertSchema(db);
    if (options.quarantined === true) {
      await listQuarantined(db, options.json === true);
      return;
    }
    if (options.learning === true) {
      await tellLearning(db, options.json === true);
      return;
    }
    for (;;) {
      const status = await readStatus(db);
      const text = options.json === true ? `${jsonText(status)}\n` : formatStatus(status);
      const redraw = options.watch === true && options.json !== true && process.stdout.isTTY;
      process.stdout.write(redraw ? clearScreen + text : text);
      if (options.watch !== true) return;
      await sleep(watchMs);
    }
  });
}

async function tellLearning(db: Database, json: boolean): Promise<void> {
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
