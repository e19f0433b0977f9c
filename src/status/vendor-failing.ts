import type { Database } from '../../db/client.ts';
import { type Activity, readFailingSince } from '../../db/queries/activity.ts';
import type { FailureReason } from '../../db/queries/status.ts';
import { rateSeconds } from './first-read.ts';

/** Set while most calls of an app fail. */
export interface VendorFailing {
  readonly since: string;
  /** Polls of the last minute that failed, and that were answered. */
  readonly failed: number;
  readonly answered: number;
  /** Accounts whose last poll failed. */
  readonly accounts: number;
  /** The most frequent reason, in the vendor's or the network's words. */
  readonly reason: string;
}

/** Outcomes of polls that the vendor answered well. */
const answeredOutcomes = ['unchanged', 'changed', 'removal_pending', 'removal_held', 'gone'] as const;
/** So few failures may be chance. */
const leastFailures = 5;

/** Whether most of an app's polls of the last minute failed; null when not. */
export async function vendorFailingOf(
  db: Database,
  appId: number,
  facts: {
    readonly recent: readonly Activity[];
    readonly failures: readonly Pick<FailureReason, 'outcome' | 'message' | 'code'>[];
    readonly accounts: number;
  },
): Promise<VendorFailing | null> {
  const ofApp = facts.recent.filter((activity) => activity.appId === appId);
  const countOf = (events: readonly string[]) =>
    ofApp.filter(({ event }) => events.includes(event)).reduce((sum, { count }) => sum + count, 0);
  const [failed, answered] = [countOf(['transient']), countOf(answeredOutcomes)];
  if (failed < leastFailures || failed <= answered) return null;
  const since = await readFailingSince(db, appId, answeredOutcomes);
  const top = facts.failures.find(({ outcome }) => outcome === 'transient');
  return {
    since: (since ?? new Date(Date.now() - rateSeconds * 1000)).toISOString(),
    failed,
    answered,
    accounts: facts.accounts,
    reason: top === undefined ? '' : `${top.message}${top.code === 0 ? '' : ` (${top.code})`}`,
  };
}
