import { assertSchema } from '../../../db/migrate.ts';
import { ensureApp } from '../../../db/queries/apps.ts';
import { countQueue } from '../../../db/queries/count-queue.ts';
import { type SourceSync, type SyncReport, syncAccounts } from '../../../src/accounts/sync-accounts.ts';
import { rateRule } from '../../../src/schedule/policy.ts';
import { jsonText } from '../../../src/terminal/json-text.ts';
import { count, rate } from '../../../src/terminal/numbers.ts';
import { printable } from '../../../src/terminal/printable.ts';
import { createProgress } from '../../../src/terminal/progress.ts';
import { CommandError } from '../../command-error.ts';
import { abortOnSignals, chooseApp, readEnvironment, withDatabase } from '../../environment.ts';
import { createProblemReporter, warnOfSourceRisk } from './lists.ts';

interface SyncAccountsCommand {
  readonly app?: number;
  readonly prune?: boolean;
  readonly maxRemovals?: number;
  readonly json?: boolean;
}

/** `accounts sync [--prune [--max-removals n]]`: exit code 1 when the source can't be read or is not believed. */
export async function syncAccountsCommand(options: SyncAccountsCommand): Promise<void> {
  if (options.maxRemovals !== undefined && options.prune !== true)
    throw new CommandError('--max-removals goes with --prune.', 2);
  const environment = readEnvironment(['app', 'database']);
  const app = chooseApp(environment.config, options.app);
  const { accountSource: source } = app;
  if (source === undefined)
    throw new CommandError(
      `App ${app.appId} has no source of accounts; set ACCOUNTS_SOURCE_URL and ACCOUNTS_QUERY, or accountsQuery in TIM_APPS_FILE.`,
      2,
    );
  await withDatabase(environment, async (db) => {
    await assertSchema(db);
    await ensureApp(db, app);
    const signal = abortOnSignals();
    await warnOfSourceRisk(source.url, signal);
    const progress = createProgress('accounts', 0);
    const started = performance.now();
    const sync = await syncAccounts(db, {
      appId: app.appId,
      source,
      prune: options.prune === true ? { maxRemovals: options.maxRemovals } : undefined,
      signal,
      onProblem: createProblemReporter('row'),
      onProgress({ rows }) {
        progress.update(0, `${count(rows)} rows, ${rate(rows, started)}`);
      },
    }).finally(() => progress.stop());
    await countQueue(db, app.appId, rateRule);
    report(app.appId, sync, (performance.now() - started) / 1000, options);
  });
}

function report(appId: number, sync: SourceSync, seconds: number, options: SyncAccountsCommand): void {
  const say = (text: string) => void process.stdout.write(text);
  if (options.json === true) say(`${jsonText(sync)}\n`);
  switch (sync.outcome) {
    case 'synced':
      if (options.json !== true) say(describe(sync.report, seconds, options.prune === true));
      if (sync.report.refusal !== undefined)
        throw new CommandError(`Nothing was removed: ${sync.report.refusal}`);
      return;
    case 'failed':
      throw new CommandError(
        `${sync.failure} Nothing was removed; ${count(sync.enrolled)} accounts were enrolled.`,
      );
    case 'busy':
      throw new CommandError(
        `Another sync of app ${appId} is under way, or was killed less than half a minute ago.`,
      );
    case 'stopped':
      throw new CommandError('The sync was aborted; what it had enrolled stays enrolled.');
  }
}

function describe(report: SyncReport, seconds: number, prune: boolean): string {
  const { named, enrolled, vanished, removed, bad, takenOut, vanishedIds } = report;
  const parts = [
    `${count(enrolled)} enrolled`,
    `${count(vanished)} vanished`,
    ...(prune ? [`${count(removed)} removed`] : []),
    ...(bad > 0 ? [`${count(bad)} bad rows left out`] : []),
    ...(takenOut > 0 ? [`${count(takenOut)} taken out by hand stay out`] : []),
  ];
  const others = vanished - vanishedIds.length;
  return [
    `${count(named)} accounts named: ${parts.join(', ')} (${seconds.toFixed(1)} s)`,
    ...(vanished === 0
      ? []
      : [
          `vanished: ${vanishedIds.map(printable).join(', ')}${others > 0 ? ` and ${count(others)} more` : ''}`,
        ]),
    ...(vanished > 0 && !prune ? ['They stay enrolled; --prune takes them out.'] : []),
    '',
  ].join('\n');
}
