import { decideNextPoll, type Estimate, type Observation } from '../../../src/schedule/policy.ts';
import type { QueueStats } from '../../../src/schedule/queue-stats.ts';

/** What a read at `at` (milliseconds) brought. */
interface Read {
  readonly at: number;
  readonly changes: number;
}

/** The columns that the daemon keeps of accounts in Postgres: of those below `size`, of which none was polled. */
export function createColumns(size: number) {
  const decayedChanges = new Float64Array(size);
  const weight = new Float64Array(size);
  const firstPolledAt = createTimes(size);
  const lastPolledAt = createTimes(size);
  const lastChangedAt = createTimes(size);
  const sequence = new Float64Array(size);
  const failures = new Uint16Array(size);

  const estimateOf = (account: number): Estimate => ({
    decayedChanges: decayedChanges[account] ?? 0,
    weight: weight[account] ?? 0,
    firstPolledAt: timeIn(firstPolledAt, account),
    lastPolledAt: timeIn(lastPolledAt, account),
    lastChangedAt: timeIn(lastChangedAt, account),
  });
  const observationOf = (account: number, { at, changes }: Read): Observation => {
    const sequenceBefore = sequence[account] ?? 0;
    return { at, changed: changes > 0, sequenceBefore, sequenceNow: sequenceBefore + changes };
  };
  return {
    weight,
    failures,
    estimateOf,
    observationOf,
    isNeverPolled: (account: number) => timeIn(firstPolledAt, account) === undefined,
    /** Milliseconds; undefined before the first poll. */
    lastPolledAt: (account: number) => timeIn(lastPolledAt, account),
    /** Stores what a read brought, and returns in how many units the next is due. */
    answered(
      account: number,
      read: Read,
      queue: QueueStats,
      random: () => number,
      present?: (rate: number) => number,
    ): number {
      const seen = observationOf(account, read);
      const decision = decideNextPoll(queue, estimateOf(account), seen, random, present);
      decayedChanges[account] = decision.decayedChanges;
      weight[account] = decision.weight;
      firstPolledAt[account] = timeIn(firstPolledAt, account) ?? read.at;
      lastPolledAt[account] = read.at;
      if (seen.changed) lastChangedAt[account] = read.at;
      sequence[account] = seen.sequenceNow;
      failures[account] = 0;
      return decision.stride;
    },
  };
}

function createTimes(size: number): Float64Array {
  return new Float64Array(size).fill(Number.NaN);
}

function timeIn(times: Float64Array, account: number): number | undefined {
  const time = times[account] ?? Number.NaN;
  return Number.isNaN(time) ? undefined : time;
}
