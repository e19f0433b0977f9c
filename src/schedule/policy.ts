import { floorOf, type QueueStats, unitsOf, weightBounds } from './queue-stats.ts';

/** How the rate of change of one account is estimated: times in milliseconds, rates per day. */
export interface Estimate {
  /** The number of changes seen, forgotten exponentially. */
  readonly decayedChanges: number;
  /** Tickets: polls per unit of virtual time. */
  readonly weight: number;
  readonly firstPolledAt: number | undefined;
  readonly lastPolledAt: number | undefined;
  /** When a poll last showed a change; undefined when none did. */
  readonly lastChangedAt: number | undefined;
}

/** What a good poll showed. */
export interface Observation {
  readonly at: number;
  readonly changed: boolean;
  readonly sequenceBefore: number | undefined;
  readonly sequenceNow: number;
}

/** The estimate after a poll, and how far ahead in virtual time the next one lies. */
interface Decision {
  readonly decayedChanges: number;
  readonly weight: number;
  readonly stride: number;
}

/** What a poll found, of what was expected before it: changes, clipped to what is plausible. */
interface PollEvidence {
  readonly found: number;
  readonly expected: number;
}

const dayMs = 86_400_000;
/** Days after which what was seen counts for a third (`tau`). */
export const memoryDays = 2;
/** The prior: as if 0.05 changes had been seen in 0.05 days, one a day. */
const priorChanges = 0.05;
const priorDays = 0.05;

/** The constants by which the database estimates the same rates (db/queries/count-queue.ts). */
export const rateRule = { memoryDays, priorChanges, priorDays } as const;

const firstBackOffSeconds = 30;
const longestBackOffSeconds = 3600;

/**
 * Square-root stride polling: every account gets polls in proportion to the square root of how often it changes.
 * Gamma-Poisson rate with two days' memory, believed the less the longer nothing has changed; `random` gives
 * numbers in [0, 1). `present` gives the rate of the moment from that of all hours (src/schedule/presence.ts).
 */
export function decideNextPoll(
  queue: QueueStats,
  estimate: Estimate,
  seen: Observation,
  random: () => number,
  present: (ratePerDay: number) => number = (rate) => rate,
): Decision {
  const decayedChanges = nextDecayedChanges(estimate, seen);
  const first = estimate.firstPolledAt ?? seen.at;
  const silence = seen.changed ? 0 : days(seen.at - (estimate.lastChangedAt ?? first));
  const rate = afterQuietPeriod(ratePerDay(decayedChanges, days(seen.at - first)), silence);
  const { greatest } = weightBounds(queue);
  const weight = weightOf(queue, present(rate));
  if (estimate.firstPolledAt !== undefined)
    return { decayedChanges, weight, stride: jitteredStride(queue, weight, random, greatest) };
  // Without a random phase, accounts that look alike stay in step and block all behind them. It ends where any later
  // interval does, so that an app that has just been read waits no longer than it will.
  const longest = (1 + floorOf(queue).jitter) / weight;
  const shortest = 1 / greatest;
  return { decayedChanges, weight, stride: shortest + random() * Math.max(0, longest - shortest) };
}

/** The weight of an account that changes this often a day: the square root, within the queue's bounds. */
export function weightOf(queue: QueueStats, ratePerDay: number): number {
  const { least, greatest } = weightBounds(queue);
  return Math.min(Math.max(Math.sqrt(ratePerDay), least), greatest);
}

/** How far ahead an account of this weight is due again: its interval, give or take the jitter, but not too soon. */
export function jitteredStride(
  queue: QueueStats,
  weight: number,
  random: () => number,
  greatest = weightBounds(queue).greatest,
): number {
  const { jitter } = floorOf(queue);
  return Math.max(1 - jitter + 2 * jitter * random(), weight / greatest) / weight;
}

/** Changes a day, estimated from the mass left after `age` days of watching. */
export function ratePerDay(decayedChanges: number, age: number): number {
  const exposure = memoryDays * (1 - Math.exp(-Math.max(age, 0) / memoryDays));
  return (decayedChanges + priorChanges) / (exposure + priorDays);
}

/** Changes a day that an account is reckoned with since its last poll; undefined when it was never polled. */
export function presentRate(estimate: Omit<Estimate, 'weight'>): number | undefined {
  const { decayedChanges, firstPolledAt, lastPolledAt, lastChangedAt } = estimate;
  if (firstPolledAt === undefined || lastPolledAt === undefined) return undefined;
  const rate = ratePerDay(decayedChanges, days(lastPolledAt - firstPolledAt));
  return afterQuietPeriod(rate, days(lastPolledAt - (lastChangedAt ?? firstPolledAt)));
}

/** Changes that were to be expected between the last poll and `at`; undefined where there was none before. */
export function expectedChanges(estimate: Omit<Estimate, 'weight'>, at: number): number | undefined {
  const rate = presentRate(estimate);
  if (rate === undefined || estimate.lastPolledAt === undefined || at <= estimate.lastPolledAt)
    return undefined;
  return rate * days(at - estimate.lastPolledAt);
}

/** What a poll says of the rates of all accounts together; undefined where nothing was expected, as at a first poll. */
export function pollEvidence(estimate: Estimate, seen: Observation): PollEvidence | undefined {
  const expected = expectedChanges(estimate, seen.at);
  return expected === undefined ? undefined : { found: plausibleChanges(seen, expected), expected };
}

/**
 * The rate to reckon with after this many days without a change: half of it when they are twice the usual gap. An account
 * that has fallen asleep would be polled for days as if it had not, with calls that nothing comes of. Where accounts
 * wake and fall asleep within days delays are a tenth shorter for it; where nothing drifts they are 2 % longer.
 */
export function afterQuietPeriod(rate: number, silentDays: number): number {
  return rate / (1 + (rate * Math.max(silentDays, 0)) / 2);
}

/**
 * How long, in virtual time, a failed account waits: full jitter over 30 s, doubled with each failure in a row,
 * at most an hour. Mass and weight stay as they are: a failure says nothing of changes.
 */
export function backOff(queue: QueueStats, failuresInARow: number, random: () => number): number {
  const ceiling = Math.min(firstBackOffSeconds * 2 ** (failuresInARow - 1), longestBackOffSeconds);
  return unitsOf(queue, ceiling * random());
}

function nextDecayedChanges(estimate: Estimate, seen: Observation): number {
  // What an account held before we first looked says nothing of how often it changes.
  if (estimate.firstPolledAt === undefined || estimate.lastPolledAt === undefined) return 0;
  const interval = days(seen.at - estimate.lastPolledAt);
  // Two reads at one instant (a clock set back) say nothing.
  if (interval <= 0) return estimate.decayedChanges;
  const decay = Math.exp(-interval / memoryDays);
  const watched = days(estimate.lastPolledAt - estimate.firstPolledAt);
  const changes = plausibleChanges(seen, ratePerDay(estimate.decayedChanges, watched) * interval);
  return estimate.decayedChanges * decay + (changes * memoryDays * (1 - decay)) / interval;
}

/**
 * How many changes a moved sequence represents: its increment, clipped to what a Poisson process with
 * `expected` changes makes plausible, because it is not documented that a change moves it by one.
 */
function plausibleChanges(seen: Observation, expected: number): number {
  if (!seen.changed) return 0;
  const counted = Math.max(1, seen.sequenceNow - (seen.sequenceBefore ?? seen.sequenceNow));
  const mean = expected < 1e-6 ? 1 : expected / (1 - Math.exp(-expected));
  return Math.min(counted, mean + 2 * Math.sqrt(mean));
}

function days(ms: number): number {
  return ms / dayMs;
}
