import { normalQuantile } from '../../src/plan/normal-quantile.ts';
import { createRandom, type Random } from '../../src/simulator/random.ts';

const daySeconds = 86_400;

/** What is assumed of the accounts. Rates are changes a day, spells days. */
export interface Habits {
  readonly accounts: number;
  /** Lognormal rates of the accounts that are awake: their mean, and the deviation of their logarithm. */
  readonly changesPerDay: number;
  readonly sigma: number;
  readonly awakeShare: number;
  readonly asleepChangesPerDay: number;
  /** How long accounts stay awake and asleep on average; undefined: for ever. */
  readonly spells: { readonly awakeDays: number; readonly asleepDays: number } | undefined;
  /** Changes follow the hour: 0.8 means 80 % more at the busiest, 80 % less at the quietest; one time zone for all. */
  readonly diurnal: number;
  /** How many changes come together, ten minutes apart on average. */
  readonly sessionChanges: number;
  /** New accounts a day, as a share of those there were at the start. */
  readonly newPerDay: number;
}

/** Everything that happens to a population, drawn once, so that every policy meets the same. Times in seconds. */
export interface Population {
  readonly size: number;
  readonly joinedAt: Float64Array;
  /** Changes of account i: `changeAt[changeStart[i]]` up to before `changeAt[changeStart[i + 1]]`, in order. */
  readonly changeStart: Uint32Array;
  readonly changeAt: Float64Array;
  /** Joins and falling asleep or awake, in the order of time. */
  readonly events: PopulationEvents;
  /** Changes a day of an account at the start or when it joins. */
  readonly firstRate: Float64Array;
}

/** Account `account[n]` has the rate `rate[n]` from `at[n]` on; `joins[n]` is 1 when it begins to exist then. */
interface PopulationEvents {
  readonly at: Float64Array;
  readonly account: Int32Array;
  readonly rate: Float64Array;
  readonly joins: Uint8Array;
}

/** Between the changes of one session, on average. */
const sessionGapSeconds = 600;

/** The population's whole life of `days`, from a seed. */
export function createPopulation(habits: Habits, days: number, seed: number): Population {
  const random = createRandom(seed);
  const end = days * daySeconds;
  const newcomers = Math.floor(habits.accounts * habits.newPerDay * days);
  const size = habits.accounts + newcomers;
  const joinedAt = new Float64Array(size);
  for (let n = 0; n < newcomers; n += 1)
    joinedAt[habits.accounts + n] = ((n + random.next()) * end) / newcomers;

  const ranks = shuffled(size, random);
  const firstRate = new Float64Array(size);
  const changeStart = new Uint32Array(size + 1);
  const changes = createNumbers(size * 4);
  const events: Event[] = [];
  for (let account = 0; account < size; account += 1) {
    const rank = ranks[account] ?? 0;
    const awakeRate = rateOfRank(habits, (rank + 0.5) / size);
    let awake = isAwake(habits, rank);
    let from = joinedAt[account] ?? 0;
    firstRate[account] = awake ? awakeRate : habits.asleepChangesPerDay;
    if (from > 0) events.push({ at: from, account, rate: firstRate[account] ?? 0, joins: true });
    const start = changes.length;
    while (from < end) {
      const until = Math.min(end, from + spellSeconds(habits, awake, random));
      drawChanges(
        habits,
        awake ? awakeRate : habits.asleepChangesPerDay,
        { from, until, end },
        random,
        changes.push,
      );
      awake = !awake;
      from = until;
      if (from < end) {
        events.push({
          at: from,
          account,
          rate: awake ? awakeRate : habits.asleepChangesPerDay,
          joins: false,
        });
      }
    }
    changes.sortFrom(start);
    changeStart[account + 1] = changes.length;
  }
  return { size, joinedAt, changeStart, changeAt: changes.toArray(), events: inOrder(events), firstRate };
}

interface Event {
  readonly at: number;
  readonly account: number;
  readonly rate: number;
  readonly joins: boolean;
}

/** Quantiles instead of draws: a small population has the shape of a large one. */
function rateOfRank(habits: Habits, share: number): number {
  const { changesPerDay, sigma } = habits;
  return changesPerDay * Math.exp(sigma * normalQuantile(share) - (sigma * sigma) / 2);
}

/** Spread evenly over the ranks. */
function isAwake(habits: Habits, rank: number): boolean {
  return Math.floor((rank + 1) * habits.awakeShare) > Math.floor(rank * habits.awakeShare);
}

function spellSeconds(habits: Habits, awake: boolean, random: Random): number {
  if (habits.spells === undefined) return Number.POSITIVE_INFINITY;
  return exponential(random) * (awake ? habits.spells.awakeDays : habits.spells.asleepDays) * daySeconds;
}

function drawChanges(
  habits: Habits,
  ratePerDay: number,
  span: { readonly from: number; readonly until: number; readonly end: number },
  random: Random,
  push: (at: number) => void,
): void {
  const { diurnal, sessionChanges } = habits;
  // Thinning: as many as in the busiest hour are drawn, and those of quieter hours dropped by chance.
  const sessionsPerSecond = (ratePerDay * (1 + diurnal)) / sessionChanges / daySeconds;
  for (let at = span.from; ; ) {
    at += exponential(random) / sessionsPerSecond;
    if (at >= span.until) return;
    if (diurnal > 0 && random.next() * (1 + diurnal) > hourFactor(diurnal, at)) continue;
    push(at);
    for (let change = 1, later = at; change < sessionChanges; change += 1) {
      later += exponential(random) * sessionGapSeconds;
      if (later < span.end) push(later);
    }
  }
}

function hourFactor(diurnal: number, at: number): number {
  return 1 + diurnal * Math.sin((2 * Math.PI * at) / daySeconds);
}

function exponential(random: Random): number {
  return -Math.log(1 - random.next());
}

function shuffled(size: number, random: Random): Int32Array {
  const ranks = Int32Array.from({ length: size }, (_, rank) => rank);
  for (let last = size - 1; last > 0; last -= 1) {
    const other = random.below(last + 1);
    const rank = ranks[last] ?? 0;
    ranks[last] = ranks[other] ?? 0;
    ranks[other] = rank;
  }
  return ranks;
}

function inOrder(events: readonly Event[]): PopulationEvents {
  const sorted = events.toSorted((a, b) => a.at - b.at);
  return {
    at: Float64Array.from(sorted, ({ at }) => at),
    account: Int32Array.from(sorted, ({ account }) => account),
    rate: Float64Array.from(sorted, ({ rate }) => rate),
    joins: Uint8Array.from(sorted, ({ joins }) => Number(joins)),
  };
}

/** Numbers one after the other, as many as there come. */
function createNumbers(capacity: number) {
  let numbers = new Float64Array(Math.max(capacity, 16));
  let length = 0;
  return {
    get length() {
      return length;
    },
    push(number: number): void {
      if (length === numbers.length) {
        const wider = new Float64Array(numbers.length * 2);
        wider.set(numbers);
        numbers = wider;
      }
      numbers[length] = number;
      length += 1;
    },
    sortFrom(start: number): void {
      if (length - start > 1) numbers.subarray(start, length).sort();
    },
    toArray: () => numbers.slice(0, length),
  };
}
