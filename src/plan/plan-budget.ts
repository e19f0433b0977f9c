import { createRandom } from '../simulator/random.ts';
import {
  type Budget,
  type Expectation,
  expectFreshness,
  longestIntervalDays,
  settleQueue,
} from './expect-freshness.ts';
import { type AssumedHabits, assumeClasses, type RateClass } from './rate-classes.ts';

/** Shares of the vendor's limit that are shown side by side; the last is all that may be used of it. */
const ratesToCompare = [50, 100, 150, 199];

/** What to expect of a budget, and of others beside it. */
export interface Plan {
  readonly expected: Expectation;
  /** From the smallest budget to the largest, the chosen one among them. */
  readonly compared: readonly Expectation[];
}

/** Plans for accounts that were never polled. The same figures at every call: chance has a fixed seed. */
export function planAssumed(budget: Budget, habits: AssumedHabits): Plan {
  return plan(budget, (each) => {
    // How long a dormant account waits follows from the classes, and they from it: a second look is enough.
    const first = assumeClasses(habits, 0, createRandom(1).next);
    return assumeClasses(habits, longestIntervalDays(settleQueue(each, first)), createRandom(1).next);
  });
}

/** Plans for accounts whose changes have been watched. */
export function planObserved(budget: Budget, classes: readonly RateClass[]): Plan {
  return plan(budget, () => classes);
}

function plan(budget: Budget, classesAt: (budget: Budget) => readonly RateClass[]): Plan {
  const rates = [...new Set([...ratesToCompare, budget.callsPerSecond])].toSorted((a, b) => a - b);
  const compared = rates.map((callsPerSecond) => {
    const each = { ...budget, callsPerSecond };
    return expectFreshness(each, classesAt(each));
  });
  const expected = compared.find(({ callsPerSecond }) => callsPerSecond === budget.callsPerSecond);
  if (expected === undefined) throw new Error('the budget was not planned');
  return { expected, compared };
}
