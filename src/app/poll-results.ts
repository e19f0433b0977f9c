import { refusedEvent } from '../../db/queries/activity.ts';
import type { ClaimedAccount } from '../../db/queries/claims.ts';
import type { Refusal } from '../../db/storage-errors.ts';
import type { Logger } from '../log.ts';
import type { AppMetrics } from '../metrics/create-metrics.ts';
import type { PollOutcome, PollResult } from '../sync/poll-account.ts';
import { createStorageHealth, type StorageHealth } from '../sync/storage-health.ts';
import type { AppCounters } from './app-counters.ts';
import { createRefusalLog } from './refusal-log.ts';
import { createVendorHealth } from './vendor-health.ts';
import { createVendorLog } from './vendor-log.ts';

/** What the outcomes of polls show of an app: its counters, its metrics, and the health of the vendor and of Postgres. */
export interface PollResults {
  readonly storage: StorageHealth;
  /** Calls fail for many accounts at present. */
  vendorIsUnhealthy(): boolean;
  /** Counts what came of a poll. */
  count(account: ClaimedAccount, result: PollResult): void;
  /** The database took the results of some polls. */
  stored(): void;
  /** The results of some polls were given up, for the database did not store them. */
  lost(refusal: Refusal, results: number): void;
}

/** Outcomes that show that the vendor serves the app. */
const served: ReadonlySet<PollOutcome> = new Set(['unchanged', 'changed', 'removal_pending', 'removal_held']);

/** Outcomes after which an account counts as read. */
const wasRead: ReadonlySet<PollOutcome> = new Set(['unchanged', 'changed', 'removal_held', 'gone']);

/** Whether the outcome of a poll shows that the vendor serves the app. */
export function showsService({ outcome }: PollResult): boolean {
  return served.has(outcome);
}

interface PollResultsOptions {
  readonly counters: AppCounters;
  readonly metrics: AppMetrics;
  /** Called for each change without a new sequence. */
  readonly onSilentChange: (account: ClaimedAccount) => void;
  readonly log: Logger;
}

export function createPollResults({
  counters,
  metrics,
  onSilentChange,
  log,
}: PollResultsOptions): PollResults {
  const vendorHealth = createVendorHealth();
  const vendorLog = createVendorLog(log);
  const storage = createStorageHealth();
  const refusals = createRefusalLog(log);

  function noteVendor(result: PollResult): void {
    if (result.outcome === 'transient') {
      vendorHealth.note(true);
      vendorLog.failed({ code: result.note?.code ?? 0, message: result.note?.message ?? '' });
    } else if (showsService(result)) {
      vendorHealth.note(false);
      vendorLog.answered();
    }
  }

  /** Counts every refusal, and logs it only if the account was penalised or storage is unhealthy. */
  function countRefusal(refusal: Refusal, results: number, costs: boolean): void {
    counters.event(refusedEvent(refusal.class), results);
    metrics.writesRefused(refusal.class, results);
    if (refusal.class !== 'network' && (costs || storage.isUnhealthy())) refusals.refused(refusal, results);
  }

  return {
    storage,
    vendorIsUnhealthy: vendorHealth.isUnhealthy,
    count(account, result) {
      counters.event(result.outcome);
      noteVendor(result);
      if (account.firstPolledAt === null && wasRead.has(result.outcome)) counters.event('first_read');
      if (result.failure !== undefined) metrics.failed(result.failure);
      if (result.refusal !== undefined) countRefusal(result.refusal, 1, result.outcome !== 'released');
      for (const [kind, written] of Object.entries(result.written ?? {})) metrics.changed(kind, written);
      for (const observation of result.evidence ?? []) counters.evidence(observation);
      if (result.sample !== undefined) counters.learn(result.sample);
      if (result.evidence?.includes('silent_change')) onSilentChange(account);
    },
    stored() {
      storage.recorded();
      refusals.written();
    },
    lost: (refusal, results) => countRefusal(refusal, results, true),
  };
}
