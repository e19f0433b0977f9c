import {
  floorOf,
  isHeldByMinInterval,
  type QueueStats,
  roundSeconds,
  secondsPerUnit,
  weightBounds,
} from '../schedule/queue-stats.ts';
import type { RateClass } from './rate-classes.ts';

/** How long changes wait, in seconds. */
interface ExpectedDelay {
  readonly meanSeconds: number;
  /** 95 % of changes wait no longer. */
  readonly p95Seconds: number;
  /** No change waits longer, while the budget is there. */
  readonly worstSeconds: number;
}

/** What to expect of a budget. */
export interface Expectation extends ExpectedDelay {
  readonly callsPerSecond: number;
  /** Less than the budget where it is plentiful. */
  readonly callsUsedPerSecond: number;
  readonly roundRobin: ExpectedDelay;
  /** POLL_MIN_INTERVAL, and not the budget, keeps accounts from being read more often. */
  readonly minIntervalHolds: boolean;
  /** How long the first read of every account takes. */
  readonly firstReadSeconds: number;
}

/** The queue without what follows from its accounts. */
export type Budget = Pick<QueueStats, 'callsPerSecond' | 'minIntervalSeconds' | 'maxIntervalSeconds'>;

/** While accounts are read for the first time a fifth of the budget is kept for those already known. */
const firstReadShare = 4 / 5;

/**
 * The delays that the policy gives to accounts of these classes when it has known them for a while: an account
 * polled every T seconds finds its changes after T/2 on average.
 */
export function expectFreshness(budget: Budget, classes: readonly RateClass[]): Expectation {
  const queue = settleQueue(budget, classes);
  const unit = secondsPerUnit(queue);
  const bounds = weightBounds(queue);
  const intervals = classes.map((one) => ({
    changes: one.accounts * one.changesPerDay,
    seconds: unit / weightOf(one, bounds),
  }));
  const changes = intervals.reduce((sum, one) => sum + one.changes, 0);
  const cycle = roundSeconds(queue);
  const { jitter } = floorOf(queue);
  // A jittered interval is met in proportion to its length.
  const mean = intervals.reduce((sum, one) => sum + one.changes * one.seconds, 0) / 2 / changes;
  return {
    callsPerSecond: queue.callsPerSecond,
    meanSeconds: mean * (1 + jitter ** 2 / 3),
    p95Seconds: quantile(intervals, changes, 0.95),
    worstSeconds: (unit / bounds.least) * (1 + jitter),
    callsUsedPerSecond: queue.weightSum / unit,
    roundRobin: { meanSeconds: cycle / 2, p95Seconds: 0.95 * cycle, worstSeconds: cycle },
    minIntervalHolds: isHeldByMinInterval(queue),
    firstReadSeconds: cycle / firstReadShare,
  };
}

/** The queue these accounts make: their weights have bounds that follow from the sum of the weights. */
export function settleQueue(budget: Budget, classes: readonly RateClass[]): QueueStats {
  const accounts = classes.reduce((sum, one) => sum + one.accounts, 0);
  let queue: QueueStats = { ...budget, accounts, weightSum: accounts };
  // Where a round is short each step brings it nearer by a twentieth only.
  for (let step = 0; step < 400; step += 1) {
    const bounds = weightBounds(queue);
    queue = {
      ...queue,
      weightSum: classes.reduce((sum, one) => sum + one.accounts * weightOf(one, bounds), 0),
    };
  }
  return queue;
}

/** How long an account waits that is thought never to change, in days. */
export function longestIntervalDays(queue: QueueStats): number {
  return secondsPerUnit(queue) / weightBounds(queue).least / 86_400;
}

function weightOf(one: RateClass, bounds: { readonly least: number; readonly greatest: number }): number {
  return Math.min(Math.max(Math.sqrt(one.estimatedPerDay), bounds.least), bounds.greatest);
}

/** Delays of changes in an interval are spread evenly over it. */
function quantile(
  intervals: readonly { readonly changes: number; readonly seconds: number }[],
  changes: number,
  share: number,
): number {
  let low = 0;
  let high = intervals.reduce((longest, one) => Math.max(longest, one.seconds), 0);
  for (let step = 0; step < 50; step += 1) {
    const middle = (low + high) / 2;
    const within = intervals.reduce((sum, one) => sum + one.changes * Math.min(1, middle / one.seconds), 0);
    if (within < share * changes) low = middle;
    else high = middle;
  }
  return high;
}
