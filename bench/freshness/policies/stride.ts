import { backOff, decideNextPoll } from '../../../src/schedule/policy.ts';
import { type QueueStats, unitsOf } from '../../../src/schedule/queue-stats.ts';
import {
  claimLimit,
  knownShare,
  moveClock,
  openClock,
  shareOf,
  type VirtualClock,
} from '../../../src/schedule/virtual-clock.ts';
import { createAccountQueue } from '../account-queue.ts';
import { createDueHeap } from '../due-heap.ts';
import type { Policy, PolicyWorld } from '../policy.ts';

/** The daemon counts its queue once a minute. */
const countEverySeconds = 60;

interface StrideOptions {
  /** The sequence shows only that something changed, not how often. */
  readonly changedOnly?: boolean;
}

/**
 * What the daemon does: the production functions decide, move the virtual clock and split the claims. Here are
 * only the two queues, which the daemon keeps in Postgres, and the columns of an account.
 */
export function createStride(world: PolicyWorld, options: StrideOptions = {}): Policy {
  const { size, random } = world;
  const columns = createColumns(size);
  const { weight, failures } = columns;
  const neverPolled = createAccountQueue(size);
  const known = createDueHeap(size);
  let accounts = 0;
  let weightSum = 0;
  let queue: QueueStats = { ...world, accounts, weightSum };
  let countedAt = Number.NEGATIVE_INFINITY;
  let clock: VirtualClock = { now: 0, ceiling: 0 };
  let clockMovedAt = 0;

  function count(at: number): void {
    if (at < countedAt + countEverySeconds) return;
    queue = { ...queue, accounts, weightSum };
    countedAt = at;
  }

  return {
    enrol(account) {
      accounts += 1;
      weight[account] = 1;
      weightSum += 1;
      neverPolled.push(account);
    },

    claim(at, places, claimed) {
      count(at);
      clock = openClock(clock, at - clockMovedAt);
      clockMovedAt = at;
      let taken = 0;
      let largestDue: number | undefined;
      const takeKnown = (wanted: number) => {
        for (let left = wanted; left > 0 && known.smallestKey() <= claimLimit(clock); left -= 1) {
          largestDue = Math.max(largestDue ?? Number.NEGATIVE_INFINITY, known.smallestKey());
          claimed[taken] = known.pop();
          taken += 1;
        }
      };
      const forKnown = shareOf(places, knownShare, random);
      takeKnown(forKnown);
      const drained = taken < forKnown;
      for (let left = Math.min(places - taken, neverPolled.length); left > 0; left -= 1) {
        claimed[taken] = neverPolled.shift();
        taken += 1;
      }
      takeKnown(places - taken);
      clock = moveClock(clock, { full: !drained && taken === places, largestDue });
      return taken;
    },

    answered(account, at, changes) {
      const before = weight[account] ?? 0;
      const seen = options.changedOnly === true ? Math.min(changes, 1) : changes;
      const stride = columns.answered(account, { at: at * 1000, changes: seen }, queue, random);
      weightSum += (weight[account] ?? 0) - before;
      known.push(account, clock.now + unitsOf(queue, at - clockMovedAt) + stride);
    },

    failed(account) {
      failures[account] = (failures[account] ?? 0) + 1;
      // An account that was never read stays in its queue, as in the daemon.
      if (columns.isNeverPolled(account)) neverPolled.push(account);
      else known.push(account, clock.now + backOff(queue, failures[account] ?? 1, random));
    },
  };
}

/** The columns that the daemon keeps of an account in Postgres. */
function createColumns(size: number) {
  const decayedChanges = new Float64Array(size);
  const weight = new Float64Array(size);
  const firstPolledAt = new Float64Array(size).fill(Number.NaN);
  const lastPolledAt = new Float64Array(size).fill(Number.NaN);
  const lastChangedAt = new Float64Array(size).fill(Number.NaN);
  const sequence = new Float64Array(size);
  const failures = new Uint16Array(size);
  const timeIn = (times: Float64Array, account: number) => {
    const time = times[account] ?? Number.NaN;
    return Number.isNaN(time) ? undefined : time;
  };
  return {
    weight,
    failures,
    isNeverPolled: (account: number) => timeIn(firstPolledAt, account) === undefined,
    /** Stores what a read at `at` (milliseconds) brought, and returns in how many units the next is due. */
    answered(
      account: number,
      { at, changes }: { readonly at: number; readonly changes: number },
      queue: QueueStats,
      random: () => number,
    ): number {
      const sequenceBefore = sequence[account] ?? 0;
      const sequenceNow = sequenceBefore + changes;
      const decision = decideNextPoll(
        queue,
        {
          decayedChanges: decayedChanges[account] ?? 0,
          weight: weight[account] ?? 0,
          firstPolledAt: timeIn(firstPolledAt, account),
          lastPolledAt: timeIn(lastPolledAt, account),
          lastChangedAt: timeIn(lastChangedAt, account),
        },
        { at, changed: changes > 0, sequenceBefore, sequenceNow },
        random,
      );
      decayedChanges[account] = decision.decayedChanges;
      weight[account] = decision.weight;
      firstPolledAt[account] = timeIn(firstPolledAt, account) ?? at;
      lastPolledAt[account] = at;
      if (changes > 0) lastChangedAt[account] = at;
      sequence[account] = sequenceNow;
      failures[account] = 0;
      return decision.stride;
    },
  };
}
