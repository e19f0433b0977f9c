import type { ClaimedAccount } from '../../db/queries/claims.ts';
import type { PollRecord } from '../../db/queries/poll-records.ts';
import { type CalibrationSample, calibrationSampleOf } from '../schedule/learning.ts';
import {
  backOff,
  decideNextPoll,
  type Estimate,
  jitteredStride,
  type Observation,
} from '../schedule/policy.ts';
import { type QueueStats, secondsPerUnit, unitsOf, weightBounds } from '../schedule/queue-stats.ts';
import { longestPauseSeconds } from '../schedule/virtual-clock.ts';

/** A good read of an account: what it showed, and when its request was sent (milliseconds, Postgres' time). */
interface GoodRead {
  readonly at: number;
  readonly sequence: number;
  readonly changed: boolean;
  /** Whether everything was asked for. */
  readonly full: boolean;
}

/** Accounts that are set aside are looked at once a day: they may be well again. */
const rareSeconds = 86_400;
const mostFailures = 1000;

/** Ends the lease, and changes nothing else: the account keeps its place in the queue. */
export function releaseLease(account: ClaimedAccount): PollRecord {
  return { ...account, stride: null, strideFrom: null };
}

/** The mean delay before the next attempt when the memory for responses is full; a large one takes seconds to write. */
const roomSeconds = 10;

/** The account as it was claimed, some seconds later in the queue: there was no room for its answer. */
export function postponed(account: ClaimedAccount, queue: QueueStats, random: () => number): PollRecord {
  return { ...releaseLease(account), stride: unitsOf(queue, roomSeconds * (0.5 + random())) };
}

/** The state after a good read that showed nothing new to write. */
export function afterRead(
  account: ClaimedAccount,
  read: GoodRead,
  queue: QueueStats,
  random: () => number,
): PollRecord {
  const decision = decideNextPoll(queue, estimateOf(account), observationOf(account, read), random);
  return {
    ...releaseLease(account),
    ...decision,
    // The virtual clock never advances by more than this at once.
    strideFrom: { at: read.at, unitSeconds: secondsPerUnit(queue), farthestSeconds: longestPauseSeconds },
    status: 'active',
    sequence: read.sequence,
    failCount: 0,
    firstPolledAt: account.firstPolledAt ?? read.at,
    verifiedAt: read.at,
    fullReadAt: read.full ? read.at : account.fullReadAt,
    pendingAt: null,
    pendingHash: null,
  };
}

/** What a good read teaches of how accounts change. */
export function calibrationSampleOfRead(
  account: ClaimedAccount,
  read: GoodRead,
): CalibrationSample | undefined {
  return calibrationSampleOf(estimateOf(account), observationOf(account, read));
}

function estimateOf(account: ClaimedAccount): Estimate {
  return {
    decayedChanges: account.decayedChanges,
    weight: account.weight,
    firstPolledAt: account.firstPolledAt ?? undefined,
    lastPolledAt: account.verifiedAt ?? undefined,
    lastChangedAt: account.changedAt ?? undefined,
  };
}

function observationOf(account: ClaimedAccount, read: GoodRead): Observation {
  return {
    at: read.at,
    changed: read.changed,
    sequenceBefore: account.sequence ?? undefined,
    sequenceNow: read.sequence,
  };
}

/** The state while an answer waits for a second complete read that agrees with `mark`. */
export function awaitingConfirmation(
  account: ClaimedAccount,
  mark: string,
  now: number,
  confirmAfterMs: number,
  queue: QueueStats,
): PollRecord {
  return {
    ...releaseLease(account),
    stride: unitsOf(queue, confirmAfterMs / 1000),
    // Asks for everything at the next poll.
    fullReadAt: null,
    // If the mark is the same, the time of the first response stays.
    pendingAt: mark === account.pendingHash ? account.pendingAt : now,
    pendingHash: mark,
  };
}

/**
 * The state while removals of the app are held: what is proved, and the sequence, stay behind, and without a hash
 * every answer is compared in full.
 */
export function afterHeld(account: ClaimedAccount, queue: QueueStats, random: () => number): PollRecord {
  return {
    ...releaseLease(account),
    stride: jitteredStride(queue, account.weight, random),
    contentHash: null,
    fullReadAt: null,
    failCount: 0,
    pendingAt: null,
    pendingHash: null,
  };
}

/**
 * The state of an account that the vendor says does not exist, once nothing of it is left in the mirror. It is
 * looked at as seldom as any account may be: it may be imported again.
 */
export function afterGone(
  account: ClaimedAccount,
  at: number,
  hash: string,
  queue: QueueStats,
  random: () => number,
): PollRecord {
  const weight = weightBounds(queue).least;
  return {
    ...releaseLease(account),
    weight,
    stride: jitteredStride(queue, weight, random),
    status: 'gone',
    // A re-import may begin with any sequence.
    sequence: null,
    contentHash: hash,
    groupCount: 0,
    failCount: 0,
    verifiedAt: at,
    fullReadAt: null,
    pendingAt: null,
    pendingHash: null,
  };
}

/**
 * The state after a failed poll: due later, and what is known of its changes stays. During an outage, in which other
 * accounts fail too, the back-off does not grow, and the account is read soon after it.
 */
export function afterFailure(
  account: ClaimedAccount,
  isOutage: boolean,
  queue: QueueStats,
  random: () => number,
): PollRecord {
  const failCount = isOutage ? Math.max(account.failCount, 1) : Math.min(account.failCount + 1, mostFailures);
  return { ...releaseLease(account), failCount, stride: backOff(queue, isOutage ? 1 : failCount, random) };
}

/** The state of an account that is set aside, because asking again soon would not help. */
export function afterQuarantine(account: ClaimedAccount, queue: QueueStats): PollRecord {
  return {
    ...releaseLease(account),
    status: 'quarantined',
    failCount: Math.min(account.failCount + 1, mostFailures),
    stride: unitsOf(queue, rareSeconds),
  };
}
