import type { RateHistogram } from '../../db/queries/rate-histogram.ts';
import { afterQuietPeriod, memoryDays, ratePerDay } from '../schedule/policy.ts';
import { normalQuantile } from './normal-quantile.ts';

/** Accounts that are alike: how often they change, and how often the policy believes they do. */
export interface RateClass {
  readonly accounts: number;
  readonly changesPerDay: number;
  /** Estimated changes a day, from what was seen. */
  readonly estimatedPerDay: number;
}

/** What is assumed of accounts that were never polled. */
export interface AssumedHabits {
  readonly accounts: number;
  /** Share that hardly ever changes. */
  readonly dormantShare: number;
  /** Changes a day of the others, on average; lognormal. */
  readonly changesPerDay: number;
  /** How long an account stays lively before it falls asleep; undefined: for ever. */
  readonly awakeDays: number | undefined;
}

/** Deviation of the logarithm of lively accounts' rates: the busiest fortieth make half of all changes. */
export const sigma = 2;
/** A dormant account changes twice in a year. */
const dormantChangesPerDay = 1 / 200;

/** Histories drawn of lively accounts, and as many of dormant ones: the mean delay is then right to 2 %. */
const draws = 6000;

/**
 * The classes of a population in full swing, as the policy sees it: estimates scatter round the truth, and what has
 * just woken is not known yet. `longestIntervalDays` is how long a dormant account waits; `random` gives [0, 1).
 */
export function assumeClasses(
  habits: AssumedHabits,
  longestIntervalDays: number,
  random: () => number,
): readonly RateClass[] {
  const classes: RateClass[] = [];
  // The few busiest accounts make a good part of all changes, so the strata get finer towards them: the first
  // holds one account.
  const lively = habits.accounts * (1 - habits.dormantShare);
  const strata = Math.max(1, Math.ceil(Math.sqrt(lively)));
  const drawsEach = Math.ceil(draws / strata);
  for (let stratum = 0; stratum < strata; stratum += 1) {
    const share = (2 * stratum + 1) / strata ** 2;
    const busier = (stratum ** 2 + (stratum + 1) ** 2) / 2 / strata ** 2;
    const rate = habits.changesPerDay * Math.exp(sigma * normalQuantile(1 - busier) - sigma ** 2 / 2);
    for (let draw = 0; draw < drawsEach; draw += 1) {
      const accounts = (habits.accounts * share) / drawsEach;
      classes.push({
        accounts: accounts * (1 - habits.dormantShare),
        changesPerDay: rate,
        estimatedPerDay: estimateOf(awakeTrace(habits, rate, longestIntervalDays, random)),
      });
      classes.push({
        accounts: accounts * habits.dormantShare,
        changesPerDay: dormantChangesPerDay,
        estimatedPerDay: estimateOf(asleepTrace(habits, rate, random)),
      });
    }
  }
  return classes;
}

/**
 * The classes of a live mirror. Its estimates are taken for the truth, which they are on average; accounts never read
 * are taken to be like the others.
 */
export function observedClasses({ seen, neverPolled }: RateHistogram): readonly RateClass[] {
  const read = seen.reduce((sum, one) => sum + one.accounts, 0);
  return seen.map(({ accounts, decayedChanges, watchedDays, silentDays }) => {
    const rate = afterQuietPeriod(ratePerDay(decayedChanges, watchedDays), silentDays);
    return { accounts: accounts * (1 + neverPolled / read), changesPerDay: rate, estimatedPerDay: rate };
  });
}

/** What the policy remembers of an account: the mass, and the days since the last change. */
interface Trace {
  readonly mass: number;
  readonly silentDays: number;
}

function awakeTrace(
  habits: AssumedHabits,
  rate: number,
  longestIntervalDays: number,
  random: () => number,
): Trace {
  if (habits.awakeDays === undefined) return drawTrace(rate, random);
  const awakeFor = exponential(habits.awakeDays, random);
  // The poll that will find it awake comes at any moment of the interval. Changes made before it wait a third of the
  // interval on average, and not half of it like others: two thirds as many represent them.
  if (awakeFor < (random() * longestIntervalDays * 2) / 3) {
    return { mass: 0, silentDays: Number.POSITIVE_INFINITY };
  }
  return drawTrace(rate, random, awakeFor);
}

function asleepTrace(habits: AssumedHabits, rate: number, random: () => number): Trace {
  const own = drawTrace(dormantChangesPerDay, random);
  if (habits.awakeDays === undefined || habits.dormantShare === 0) return own;
  const asleepFor = exponential((habits.awakeDays * habits.dormantShare) / (1 - habits.dormantShare), random);
  // What it did before it fell asleep is still being forgotten.
  const before = drawTrace(rate, random);
  return {
    mass: own.mass + before.mass * Math.exp(-asleepFor / memoryDays),
    silentDays: Math.min(own.silentDays, before.silentDays + asleepFor),
  };
}

// Older changes have left nothing.
const longAgoDays = 8 * memoryDays;

/**
 * Draws the changes of the last `days`, one after the other back in time, and what each has left. Beyond a hundred
 * changes the mean is near enough.
 */
function drawTrace(rate: number, random: () => number, days = longAgoDays): Trace {
  const silentDays = exponential(1 / rate, random);
  if (silentDays >= days) return { mass: 0, silentDays };
  if (rate * memoryDays > 100) {
    return { mass: rate * memoryDays * (1 - Math.exp(-days / memoryDays)), silentDays };
  }
  let mass = 0;
  for (let ago = silentDays; ago < Math.min(days, longAgoDays); ago += exponential(1 / rate, random)) {
    mass += Math.exp(-ago / memoryDays);
  }
  return { mass, silentDays };
}

function exponential(mean: number, random: () => number): number {
  return -Math.log(1 - random()) * mean;
}

function estimateOf({ mass, silentDays }: Trace): number {
  return afterQuietPeriod(ratePerDay(mass, Number.POSITIVE_INFINITY), Math.min(silentDays, longAgoDays));
}
