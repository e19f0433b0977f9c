import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '../../../db/client.ts';
import {
  type AuditableAccount,
  acknowledgeWrong,
  pageAccounts,
  sampleAccounts,
} from '../../../db/queries/audit.ts';
import { compareAccount } from '../../../src/audit/compare-account.ts';
import type { AppConfig } from '../../../src/config/app-config.ts';
import { isAppRefused } from '../../../src/tencent/errors.ts';
import { jsonText } from '../../../src/terminal/json-text.ts';
import { count, rate } from '../../../src/terminal/numbers.ts';
import { printable } from '../../../src/terminal/printable.ts';
import { createProgress } from '../../../src/terminal/progress.ts';
import { CommandError } from '../../command-error.ts';
import { withApp, withMirroredApp } from '../../environment.ts';
import { type Vendor, withVendor } from '../../vendor.ts';

interface VerifyCommand {
  readonly app?: number;
  readonly sample?: number;
  readonly json?: boolean;
  readonly acknowledge?: boolean;
}

/** What a verification found. `verify --json` prints it as it is. */
interface Findings {
  checked: number;
  equal: number;
  stale: number;
  wrong: number;
  unread: number;
}

/** Of the app's budget; the rest stays with the daemon. */
const budgetShare = 0.05;
const pageSize = 500;

/** `verify [--sample n] [--json] [--acknowledge]`: exit code 1 when the mirror of an account is wrong. */
export async function verifyCommand(options: VerifyCommand): Promise<void> {
  if (options.acknowledge === true) return acknowledge(options);
  const needs = ['app', 'credentials', 'database'] as const;
  const findings = await withApp(
    options.app,
    async ({ db, app, environment }) =>
      withVendor(environment, app, (vendor) => verify(db, app, vendor, options)),
    { needs },
  );
  const { checked, equal, stale, wrong, unread } = findings;
  process.stdout.write(
    options.json === true
      ? `${jsonText(findings)}\n`
      : `${count(checked)} accounts compared: ${count(equal)} equal, ${count(stale)} changed since their last poll, ` +
          `${count(wrong)} wrong${unread > 0 ? `, ${count(unread)} could not be read` : ''}\n`,
  );
  if (wrong > 0) throw new CommandError(`The mirror of ${count(wrong)} accounts is wrong.`);
}

async function verify(
  db: Database,
  app: AppConfig,
  { client, stop }: Vendor,
  options: VerifyCommand,
): Promise<Findings> {
  const findings: Findings = { checked: 0, equal: 0, stale: 0, wrong: 0, unread: 0 };
  const total = options.sample ?? (await countAccounts(db, app.appId));
  const progress = createProgress('verify', total);
  const began = performance.now();
  const everyMs = 1000 / (app.callsPerSecond * budgetShare);
  try {
    for await (const account of accountsOf(db, app.appId, options.sample)) {
      const started = performance.now();
      const { outcome, differences, error } = await compareAccount({ db, client }, account, stop);
      // No other account would be read either.
      if (error !== undefined && isAppRefused(error)) throw error;
      findings.checked += 1;
      findings[outcome] += 1;
      if (outcome === 'wrong' || outcome === 'stale') {
        progress.stop();
        report(account.accountId, outcome, differences, options.json === true);
      }
      progress.update(
        findings.checked,
        `${count(findings.checked)} accounts, ${rate(findings.checked, began)}, ${findings.wrong} wrong`,
      );
      const leftMs = everyMs - (performance.now() - started);
      if (leftMs > 0) await sleep(leftMs, undefined, { signal: stop.soft }).catch(() => undefined);
      if (stop.soft.aborted) break;
    }
  } catch (error) {
    if (!stop.soft.aborted) throw error;
  } finally {
    progress.stop();
  }
  return findings;
}

async function acknowledge(options: VerifyCommand): Promise<void> {
  if (options.sample !== undefined)
    throw new CommandError('--acknowledge reads nothing, so --sample has no use; leave one of them out.');
  await withMirroredApp(options.app, async (db, appId) => {
    const acknowledged = await acknowledgeWrong(db, appId);
    process.stdout.write(
      options.json === true
        ? `${jsonText({ acknowledged })}\n`
        : `${count(acknowledged)} accounts that were found to be wrong are acknowledged; they alert no more.\n`,
    );
  });
}

function report(
  account: string,
  outcome: 'wrong' | 'stale',
  differences: readonly string[],
  json: boolean,
): void {
  if (json) {
    process.stdout.write(`${jsonText({ account, outcome, differences })}\n`);
    return;
  }
  const why = outcome === 'wrong' ? 'WRONG' : 'changed since its last poll';
  const lines = differences.map((line) => `  ${printable(line)}\n`).join('');
  process.stdout.write(`${printable(account)}: ${why}\n${lines}`);
}

async function* accountsOf(
  db: Database,
  appId: number,
  sample: number | undefined,
): AsyncGenerator<AuditableAccount> {
  if (sample !== undefined) {
    yield* await sampleAccounts(db, appId, sample);
    return;
  }
  for (let after = 0; ; ) {
    const page = await pageAccounts(db, appId, after, pageSize);
    yield* page;
    const last = page.at(-1);
    if (last === undefined) return;
    after = last.accountKey;
  }
}

async function countAccounts(db: Database, appId: number): Promise<number> {
  const row = await db
    .selectFrom('mirror.app')
    .select('account_count')
    .where('app_id', '=', appId)
    .executeTakeFirst();
  return row?.account_count ?? 0;
}
