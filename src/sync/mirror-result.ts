import type { ClaimedAccount } from '../../db/queries/claims.ts';
import type { ChangeKind } from '../../db/queries/groups.ts';
import type { PollRecord } from '../../db/queries/poll-records.ts';
import type { CalibrationSample } from '../schedule/learning.ts';
import type { SequenceObservation } from './sequence-evidence.ts';

/** What came of reading an account. */
export interface MirrorResult {
  /**
   * `dropped`: another worker has claimed it since, and nothing was written. `removal_pending`: what it adds was written,
   * and what it leaves out is read again first. `removal_held`: what came was written, and what would go waits for an
   * operator.
   */
  readonly outcome: 'unchanged' | 'changed' | 'removal_pending' | 'removal_held' | 'gone' | 'dropped';
  /** The next state for the batch writer; absent if the transaction wrote it, or the claim was stale. */
  readonly record?: PollRecord;
  /** What happened, where that is worth remembering. */
  readonly summary?: string;
  /** Changes written to the feed. */
  readonly written?: Readonly<Record<ChangeKind, number>>;
  readonly evidence?: readonly SequenceObservation[];
  readonly sample?: CalibrationSample | undefined;
}

/** Whether the mirror is known to lag behind: removals were held, or wait, or a full read was requested. */
export function isBehind(account: ClaimedAccount): boolean {
  return account.contentHash === null && account.firstPolledAt !== null;
}
