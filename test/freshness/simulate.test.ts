import { describe, expect, test } from 'vitest';
import { drawChart } from '../../bench/freshness/chart.ts';
import { createDelays } from '../../bench/freshness/delays.ts';
import { createDueHeap } from '../../bench/freshness/due-heap.ts';
import { createPopulation, type Habits } from '../../bench/freshness/population.ts';
import { readRow } from '../../bench/freshness/rows.ts';
import { runRows } from '../../bench/freshness/run-rows.ts';
import {
  createScenarios,
  populationOf,
  type Scenario,
  simulate,
  steadyHabits,
} from '../../bench/freshness/scenarios.ts';
import { defaultMinIntervalSeconds } from '../../src/config/values.ts';
import { createRandom } from '../../src/simulator/random.ts';

const seed = 1;
const accounts = 4000;
const { stationary, drift } = createScenarios(accounts);
const steady: Scenario = { ...stationary, fromDay: 4, toDay: 8 };
const drifting: Scenario = { ...drift, fromDay: 4, toDay: 8 };
const steadyPopulation = populationOf(steady, seed);
const cycle = accounts / steady.callsPerSecond;

describe('the simulation', () => {
  test('round robin finds a change after half a cycle on average, and always within one', () => {
    const figures = simulate(steady, steadyPopulation, 'round-robin', seed);
    expect(figures.meanSeconds / (cycle / 2)).toBeCloseTo(1, 1);
    expect(figures.p95Seconds / cycle).toBeCloseTo(0.95, 1);
    expect(figures.oldestAgeInCycles).toBeCloseTo(1, 2);
    expect(figures.firstReadSeconds / cycle).toBeCloseTo(1, 2);
    expect(figures.callsPerSecond).toBeCloseTo(steady.callsPerSecond, 2);
  });

  test('the oracle reaches the bound (Σ√λ)² / 2RΣλ', () => {
    const figures = simulate(steady, steadyPopulation, 'oracle', seed);
    const perSecond = steadyPopulation.firstRate.map((rate) => rate / 86_400);
    const rootSum = perSecond.reduce((sum, rate) => sum + Math.sqrt(rate), 0);
    const sum = perSecond.reduce((total, rate) => total + rate, 0);
    const bound = rootSum ** 2 / (2 * steady.callsPerSecond * sum);
    expect(figures.meanSeconds / bound).toBeGreaterThan(0.95);
    expect(figures.meanSeconds / bound).toBeLessThan(1.05);
  });

  test('halving on change and growing on none is no better than round robin', () => {
    const halving = simulate(steady, steadyPopulation, 'halve-and-grow', seed);
    expect(halving.meanSeconds).toBeGreaterThan(cycle / 2);
    expect(halving.callsPerSecond).toBeLessThan(steady.callsPerSecond / 2);
  });

  test('what happens is the same at every run, for every policy, and another with another seed', () => {
    const again = simulate(steady, populationOf(steady, seed), 'stride', seed);
    expect(again).toEqual(simulate(steady, steadyPopulation, 'stride', seed));
    expect(simulate(steady, populationOf(steady, seed + 1), 'stride', seed + 1)).not.toEqual(again);
  });
});

describe('the production policy', () => {
  test('is at least six times as fresh as round robin while nothing drifts, and near the oracle', () => {
    const ours = simulate(steady, steadyPopulation, 'stride', seed);
    const oracle = simulate(steady, steadyPopulation, 'oracle', seed);
    expect(cycle / 2 / ours.meanSeconds).toBeGreaterThan(6);
    expect(ours.meanSeconds / oracle.meanSeconds).toBeLessThan(1.3);
    expect(ours.oldestAgeInCycles).toBeLessThan(2.8);
    // A fifth is kept for those read already.
    expect(ours.firstReadSeconds / cycle).toBeCloseTo(1.25, 1);
  });

  test('is at least five times as fresh while accounts wake and fall asleep, knowing how often or only whether', () => {
    const population = populationOf(drifting, seed);
    const ours = simulate(drifting, population, 'stride', seed);
    const reported = simulate(drifting, population, 'stride-changed-only', seed);
    expect(cycle / 2 / ours.meanSeconds).toBeGreaterThan(5);
    expect(reported.meanSeconds / ours.meanSeconds).toBeLessThan(1.08);
  });

  test('keeps three times the freshness of round robin through hours with a quarter of the budget', () => {
    const scenario = { ...drifting, fromDay: 4, toDay: 4.5, endDay: 5.5, budgetShare: 0.25 };
    const population = populationOf(scenario, seed);
    const ours = simulate(scenario, population, 'stride', seed);
    const roundRobin = simulate(scenario, population, 'round-robin', seed);
    expect(roundRobin.meanSeconds / ours.meanSeconds).toBeGreaterThan(3);
  });

  test.each(['hundred', 'thousand', 'threeThousand'] as const)(
    'of a small app (%s) is no slower than a round robin with as many calls, and uses all it may',
    (name) => {
      const scenario = createScenarios(accounts)[name];
      const ours = simulate(scenario, populationOf(scenario, seed), 'stride', seed);
      const { goals } = readRow(scenario.name, scenario, {
        stride: ours,
        'round-robin': ours,
        oracle: ours,
      });
      expect(goals).toHaveLength(3);
      expect(goals.filter(({ met }) => !met)).toEqual([]);
      expect(ours.shortestIntervalSeconds).toBeGreaterThan(9.5);
    },
  );

  test.each([100, 1000, 3000, 10_000])(
    'of %d accounts that have just been enrolled lets none wait longer than later, from two rounds after the first read on, and at most 1.5 rounds before',
    (size) => {
      const callsPerSecond = 190;
      const round = size / callsPerSecond;
      const oldestFrom = (seconds: number): number => {
        const fromDay = seconds / 86_400;
        const scenario: Scenario = {
          name: 'fresh',
          title: 'fresh',
          habits: steadyHabits(size),
          callsPerSecond,
          fromDay,
          toDay: fromDay + Math.max(120, 5 * round) / 86_400,
        };
        return simulate(scenario, populationOf(scenario, seed), 'stride', seed).oldestAgeInCycles * round;
      };
      // A claim each second, and two polls of one account may lie at its two ends.
      const firstRead = Math.ceil(1.25 * round + 2);
      expect(oldestFrom(firstRead)).toBeLessThan(Math.max(1.5 * round, 1.1 * defaultMinIntervalSeconds) + 2);
      expect(oldestFrom(firstRead + 2 * round)).toBeLessThan(
        Math.max(1.1 * round, 1.1 * defaultMinIntervalSeconds) + 2,
      );
    },
  );

  test('reads every account for the first time at less than a call a second too', () => {
    const scenario: Scenario = {
      ...steady,
      habits: steadyHabits(500),
      callsPerSecond: 0.4,
      fromDay: 0,
      toDay: 0.1,
    };
    const ours = simulate(scenario, populationOf(scenario, seed), 'stride', seed);
    expect(ours.firstReadSeconds).toBeGreaterThan(0);
    expect(ours.firstReadSeconds / (500 / 0.4)).toBeLessThan(1.5);
  });
});

describe('a population', () => {
  const habits: Habits = {
    ...steadyHabits(2000),
    sigma: 0.5,
    spells: { awakeDays: 2, asleepDays: 6 },
    diurnal: 0.8,
    sessionChanges: 3,
    newPerDay: 0.05,
  };
  const population = createPopulation(habits, 10, seed);

  test('changes as often as its habits say', () => {
    const perAccountAndDay = population.changeAt.length / (2000 * 10 + (1000 * 10) / 2);
    expect(perAccountAndDay / (0.25 * 5 + 0.75 / 200)).toBeCloseTo(1, 1);
  });

  test('has each account’s changes in order, none before it joined', () => {
    for (let account = 0; account < population.size; account += 1) {
      const changes = population.changeAt.subarray(
        population.changeStart[account],
        population.changeStart[account + 1],
      );
      expect(changes).toEqual(changes.toSorted());
      expect(changes[0] ?? 1e9).toBeGreaterThanOrEqual(population.joinedAt[account] ?? 0);
    }
  });

  test('follows the hour of the day', () => {
    const morning = population.changeAt.filter((at) => at % 86_400 < 43_200).length;
    expect(morning / population.changeAt.length).toBeGreaterThan(0.7);
  });
});

test('the heap gives the smallest key first, however many there are', () => {
  const random = createRandom(seed);
  const heap = createDueHeap(4);
  const keys = Array.from({ length: 1000 }, () => random.next());
  for (const [account, key] of keys.entries()) heap.push(account, key);
  const popped = Array.from(keys, () => keys[heap.pop()] ?? 0);
  expect(popped).toEqual(keys.toSorted((a, b) => a - b));
  expect(heap.smallestKey()).toBe(Number.POSITIVE_INFINITY);
  expect(() => heap.pop()).toThrow(RangeError);
});

test('quantiles of delays are right to a percent', () => {
  const delays = createDelays();
  for (let second = 1; second <= 10_000; second += 1) delays.add(second);
  expect(delays.mean).toBe(5000.5);
  for (const share of [0.5, 0.95, 0.99]) {
    expect(delays.quantile(share) / (share * 10_000)).toBeCloseTo(1, 1.7);
  }
});

describe('a row of the bench', () => {
  test('reports ratio, gain and goals of what was simulated', async () => {
    const notes: string[] = [];
    const {
      rows: [row],
    } = await runRows({
      accounts: 500,
      presenceAccounts: 0,
      seed,
      rows: ['quarter-budget'],
      onProgress: (_done, _total, note) => notes.push(note),
    });
    const { oracle, stride } = row?.policies ?? {};
    expect(row?.ratioToOracle).toBeCloseTo((stride?.meanSeconds ?? 0) / (oracle?.meanSeconds ?? 1));
    expect(row).toMatchObject({ name: 'quarter-budget', target: null, gainTarget: 3.3, accounts: 500 });
    expect(row?.goals).toHaveLength(1);
    expect(new Set(notes).size).toBe(4);
    // A bar and a legend for each of four policies, and the ground.
    expect(drawChart(row === undefined ? [] : [row]).match(/<rect/g)).toHaveLength(9);
  });

  test('needs every policy it compares', () => {
    expect(() => readRow('stationary', stationary, {})).toThrow('stride was not tried');
  });
});
