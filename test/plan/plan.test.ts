import { describe, expect, test } from 'vitest';
import { createScenarios, populationOf, type Scenario, simulate } from '../../bench/freshness/scenarios.ts';
import { mean } from '../../bench/support/statistics.ts';
import { type Budget, expectFreshness } from '../../src/plan/expect-freshness.ts';
import { formatPlan } from '../../src/plan/format-plan.ts';
import { normalQuantile } from '../../src/plan/normal-quantile.ts';
import { planAssumed, planObserved } from '../../src/plan/plan-budget.ts';
import { type AssumedHabits, observedClasses, type RateClass } from '../../src/plan/rate-classes.ts';
import { fineDuration } from '../../src/terminal/numbers.ts';

const budget: Budget = { callsPerSecond: 190, minIntervalSeconds: 10, maxIntervalSeconds: 86_400 };
const million: AssumedHabits = { accounts: 1_000_000, dormantShare: 0.75, changesPerDay: 5, awakeDays: 20 };

describe('what the plan expects is what the simulation finds, within 15 %', () => {
  const { stationary, drift, tenMillion, thousand, tenThousand } = createScenarios(4000);
  const rows: [string, Scenario, number | undefined][] = [
    ['habits never change', { ...stationary, fromDay: 5, toDay: 10 }, undefined],
    ['accounts wake and fall asleep', { ...drift, fromDay: 5, toDay: 10 }, 20],
    ['a round takes 14 hours', { ...tenMillion, fromDay: 15, toDay: 45 }, 20],
    ['the budget is plentiful', { ...thousand, fromDay: 2, toDay: 2.5 }, undefined],
    ['a round takes a minute', { ...tenThousand, fromDay: 0.5, toDay: 0.6 }, undefined],
  ];
  test.each(rows)('where %s', (_what, scenario, awakeDays) => {
    const { accounts } = scenario.habits;
    // Populations that wake and fall asleep differ by a tenth from each other.
    const populations = awakeDays === undefined ? [1] : [1, 2, 3];
    const runs = populations.map((seed) => simulate(scenario, populationOf(scenario, seed), 'stride', seed));
    const found = {
      meanSeconds: mean(runs.map((run) => run.meanSeconds)),
      callsPerSecond: mean(runs.map((run) => run.callsPerSecond)),
    };
    const { expected } = planAssumed(
      { ...budget, callsPerSecond: scenario.callsPerSecond },
      { accounts, dormantShare: 0.75, changesPerDay: 5, awakeDays },
    );
    expect(expected.meanSeconds / found.meanSeconds).toBeGreaterThan(0.85);
    expect(expected.meanSeconds / found.meanSeconds).toBeLessThan(1.15);
    expect(expected.callsUsedPerSecond / found.callsPerSecond).toBeGreaterThan(0.85);
    expect(expected.callsUsedPerSecond / found.callsPerSecond).toBeLessThan(1.15);
  });
});

describe('a plan', () => {
  test('of accounts that are all alike is as good as round robin', () => {
    const alike: RateClass = { accounts: 1_000_000, changesPerDay: 1, estimatedPerDay: 1 };
    const { meanSeconds, p95Seconds, roundRobin, callsUsedPerSecond } = expectFreshness(budget, [alike]);
    expect(meanSeconds / roundRobin.meanSeconds).toBeCloseTo(1, 1);
    expect(p95Seconds / roundRobin.p95Seconds).toBeCloseTo(1);
    expect(callsUsedPerSecond).toBeCloseTo(190);
  });

  test('polls in proportion to the square root of the rate: four times the rate, half the delay', () => {
    const delayOf = (rate: number) =>
      expectFreshness(budget, [
        { accounts: 1_000_000, changesPerDay: 0, estimatedPerDay: 1 },
        { accounts: 1, changesPerDay: rate, estimatedPerDay: rate },
      ]).meanSeconds;
    expect(delayOf(4) / delayOf(16)).toBeCloseTo(2, 2);
  });

  test('promises at worst two and three quarter rounds, and a first read in five quarters of one', () => {
    const { expected } = planAssumed(budget, million);
    const cycle = million.accounts / budget.callsPerSecond;
    expect(expected.worstSeconds / cycle).toBeCloseTo(2.75);
    expect(expected.firstReadSeconds / cycle).toBeCloseTo(1.25);
    expect(expected.roundRobin.worstSeconds).toBeCloseTo(cycle);
  });

  test('gets better with every call, and the chosen budget is among the others', () => {
    const { compared, expected } = planAssumed({ ...budget, callsPerSecond: 120 }, million);
    expect(compared.map(({ callsPerSecond }) => callsPerSecond)).toEqual([50, 100, 120, 150, 199]);
    const means = compared.map(({ meanSeconds }) => meanSeconds);
    expect(means).toEqual(means.toSorted((a, b) => b - a));
    expect(compared).toContainEqual(expected);
  });

  test('of a small app promises at worst 1.1 rounds or POLL_MIN_INTERVAL, and uses the calls', () => {
    const thousand = planAssumed(budget, { ...million, accounts: 1000 }).expected;
    expect(thousand.callsUsedPerSecond).toBeCloseTo(100, 0);
    expect(thousand.meanSeconds).toBeCloseTo(5, 0);
    expect(thousand.worstSeconds).toBeLessThanOrEqual(10.5);
    const tenThousand = planAssumed(budget, { ...million, accounts: 10_000 }).expected;
    expect(tenThousand.callsUsedPerSecond).toBeCloseTo(190, 0);
    expect(tenThousand.worstSeconds).toBeLessThanOrEqual((1.1 * 10_000) / 190);
    expect(tenThousand.meanSeconds).toBeLessThan(10_000 / 190 / 2);
  });

  test.each([{ dormantShare: 0 }, { dormantShare: 0.999 }, { accounts: 1 }, { changesPerDay: 0.001 }])(
    'has figures at the edge too: %o',
    (edge) => {
      const { expected } = planAssumed(budget, { ...million, ...edge });
      for (const figure of [expected.meanSeconds, expected.p95Seconds, expected.worstSeconds]) {
        expect(figure).toBeGreaterThan(0);
        expect(figure).toBeLessThan(1e6);
      }
    },
  );

  test('of a live mirror takes accounts never polled to be like the others', () => {
    const seen = [
      { accounts: 300, decayedChanges: 0, watchedDays: 10, silentDays: 10 },
      { accounts: 100, decayedChanges: 10, watchedDays: 10, silentDays: 0 },
    ];
    const classes = observedClasses({ seen, neverPolled: 400 });
    expect(classes.map(({ accounts }) => accounts)).toEqual([600, 200]);
    expect(classes[1]?.changesPerDay).toBeCloseTo(10.05 / 2.05, 1);
    expect(planObserved(budget, classes).expected.meanSeconds).toBeGreaterThan(0);
  });

  test('is in words that fit a terminal', () => {
    const text = formatPlan(planAssumed(budget, million), '1,000,000 accounts', ['Assumed.']);
    expect(text).toMatch(/a change waits, on average +\d/);
    expect(text).toMatch(/times as fresh as round robin/);
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
    const plentiful = formatPlan(planAssumed(budget, { ...million, accounts: 1000 }), '1,000 accounts', []);
    expect(plentiful).toMatch(/The budget is plentiful/);
  });
});

test.each([
  [0.5, 0],
  [0.975, 1.959_964],
  [0.025, -1.959_964],
  [0.001, -3.090_232],
])('the quantile of a standard normal number at %f is %f', (share, quantile) => {
  expect(normalQuantile(share)).toBeCloseTo(quantile, 5);
});

test.each([
  [45, '45 s'],
  [444, '7.4 min'],
  [2520, '42 min'],
  [14_040, '3.9 h'],
])('%d seconds are reported as %s', (seconds, reported) => {
  expect(fineDuration(seconds)).toBe(reported);
});
