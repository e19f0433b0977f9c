import type { Database } from '../db/client.ts';
import { readAccountSources } from '../db/queries/account-sources.ts';
import type { AccountSource } from '../db/source-rows.ts';
import { syncAccounts } from '../src/accounts/sync-accounts.ts';
import type { AppConfig } from '../src/config/app-config.ts';
import type { Logger } from '../src/log.ts';
import type { JobWorker, Queues } from './queues.ts';

interface AccountsDeps {
  readonly db: Database;
  readonly queues: Queues;
  readonly log: Logger;
  readonly syncIntervalMs: number;
  /** Ends a sync that is under way. */
  readonly signal: AbortSignal;
}

/** An app whose accounts come from a source. */
export type SourcedAppConfig = AppConfig & { readonly accountSource: AccountSource };

/** Whether a query is configured that names the app's accounts. */
export function hasSource<App extends AppConfig>(app: App): app is App & SourcedAppConfig {
  return app.accountSource !== undefined;
}

/**
 * Syncs an app's accounts with their source whenever the schedule says so; any replica may. It never takes accounts
 * out: that is for a person to ask for.
 */
export function startAccountsWorker(deps: AccountsDeps, app: SourcedAppConfig): JobWorker {
  return deps.queues.work('accounts', {
    appId: app.appId,
    concurrency: 1,
    process: () => syncOnce(deps, app),
  });
}

/** One sync; none where the last good one is younger than half the interval, as after Redis has lost the schedule. */
export async function syncOnce(
  { db, log, syncIntervalMs, signal }: Omit<AccountsDeps, 'queues'>,
  { appId, accountSource }: SourcedAppConfig,
): Promise<void> {
  const before = (await readAccountSources(db)).find((source) => source.appId === appId);
  const isFresh = (before?.syncedAgo ?? Number.POSITIVE_INFINITY) * 1000 < syncIntervalMs / 2;
  if (signal.aborted || (isFresh && before?.failure === null)) return;

  const sync = await syncAccounts(db, { appId, source: accountSource, signal });
  switch (sync.outcome) {
    case 'synced': {
      const { named, enrolled, vanished, bad } = sync.report;
      log.info({ app: appId, named, enrolled, vanished, bad }, 'accounts synced with their source');
      return;
    }
    case 'failed':
      log.warn(
        { app: appId, enrolled: sync.enrolled, failure: sync.failure },
        'accounts are not synced with their source; it is tried again when its time comes',
      );
      return;
    case 'busy':
    case 'stopped':
      log.debug({ app: appId, outcome: sync.outcome }, 'accounts are not synced now');
  }
}
