import { describe, expect, test } from 'vitest';
import { createDueQueue } from '../../bench/freshness/due-heap.ts';
import { createStride } from '../../bench/freshness/policies/stride.ts';
import { createPresenceScenarios, type PresenceScenario } from '../../bench/freshness/presence-scenarios.ts';
import { runRows } from '../../bench/freshness/run-rows.ts';
import { createRun, type PolicyName, populationOf, type Run } from '../../bench/freshness/scenarios.ts';
import { allReported, presenceLogOf, reportsOf } from '../../bench/freshness/sessions.ts';
import type { Freshness } from '../../bench/freshness/simulate.ts';
import { createRandom } from '../../src/simulator/random.ts';

const seed = 1;
const accounts = 1500;
const short = { fromDay: 2, toDay: 4 };
const scenarioOf = (name: string): PresenceScenario => {
  const found = createPresenceScenarios(accounts).find((scenario) => scenario.name === name);
  if (found === undefined) throw new RangeError(name);
  return { ...found, ...short };
};
const world = scenarioOf('presence');
const population = populationOf(world, seed);
const finished = (run: Run): Freshness => {
  run.advance(run.endSeconds);
  return run.result();
};
const tried = (policy: PolicyName, scenario = world) =>
  finished(createRun(scenario, population, policy, seed));
const today = tried('stride');

describe('polls that know who is online', () => {
  test('find a change several times sooner, and spend no more calls', () => {
    const ours = tried('presence');
    expect(ours.meanSeconds / today.meanSeconds).toBeLessThan(0.2);
    expect(ours.p95Seconds).toBeLessThan(today.p95Seconds);
    expect(ours.callsPerSecond).toBeLessThanOrEqual(today.callsPerSecond * 1.001);
    expect(ours.oldestAgeInCycles).toBeLessThan(4.5);
    expect(tried('oracle-of-presence').meanSeconds).toBeLessThan(ours.meanSeconds);
  });

  test('are exactly those of today where nothing is reported', () => {
    expect(tried('presence', scenarioOf('presence-unreported'))).toEqual(today);
  });

  test('are exactly those of today where the backend makes all changes, whatever is reported', () => {
    const run = createRun(world, population, 'presence', seed, (policyWorld) =>
      createStride(policyWorld, { callbacks: 'presence', backendShare: 1 }),
    );
    expect(finished(run)).toEqual(today);
  });

  test('need no callback where the vendor is asked, and its calls are paid for', () => {
    const ours = tried('presence', scenarioOf('presence-status-5'));
    expect(ours.meanSeconds / today.meanSeconds).toBeLessThan(0.3);
    // A sweep through all accounts in five minutes, 500 a call.
    expect(today.callsPerSecond - ours.callsPerSecond).toBeCloseTo(accounts / 500 / 300, 3);
  });

  test('are no worse than today’s while callbacks have stopped for hours', () => {
    const day = 86_400;
    const stops: PresenceScenario = {
      ...world,
      reports: { ...allReported, silence: { from: 2.5 * day, to: 2.75 * day } },
      fromDay: 2.5,
      toDay: 2.75,
      endDay: 4,
    };
    expect(tried('presence', stops).meanSeconds / tried('stride', stops).meanSeconds).toBeLessThan(1.3);
  });

  test('lose little where half of the callbacks are lost', () => {
    expect(tried('presence', scenarioOf('presence-lost-50')).meanSeconds / today.meanSeconds).toBeLessThan(1);
  });
});

describe('sessions', () => {
  const { sessions, changeAt, changeStart, joinedAt } = population;
  const lengths = sessions.from.map((from, session) => (sessions.until[session] ?? 0) - from);

  test('are as many and as long as the habits say', () => {
    const days = 4;
    const perAccountAndDay = sessions.from.length / joinedAt.length / days;
    expect(perAccountAndDay / (0.5 * 4 + 0.5 * 0.05)).toBeCloseTo(1, 0);
    expect(lengths.reduce((sum, length) => sum + length, 0) / lengths.length / 1200).toBeCloseTo(1, 0);
  });

  test('hold all changes that users make, and never overlap', () => {
    for (let account = 0; account < population.size; account += 1) {
      const own = Array.from(
        { length: (sessions.start[account + 1] ?? 0) - (sessions.start[account] ?? 0) },
        (_, n) => (sessions.start[account] ?? 0) + n,
      );
      for (const session of own.slice(1))
        expect(sessions.from[session]).toBeGreaterThanOrEqual(sessions.until[session - 1] ?? 0);
      const changes = changeAt.subarray(changeStart[account], changeStart[account + 1]);
      for (const at of changes) {
        const within = own.some((session) => {
          const [from = 0, until = 0] = [sessions.from[session], sessions.until[session]];
          return at >= from && at < until;
        });
        expect(within).toBe(true);
      }
    }
  });

  test('are reported twice each, but for what is lost, and late where logouts are', () => {
    const truth = presenceLogOf(sessions);
    expect(truth.at.length).toBe(2 * sessions.from.length);
    const all = reportsOf(sessions, allReported, seed);
    expect(all).toEqual(truth);
    const half = reportsOf(sessions, { ...allReported, lostShare: 0.5 }, seed);
    expect(half.at.length / truth.at.length).toBeCloseTo(0.5, 1);
    const late = reportsOf(sessions, { ...allReported, logoutDelaySeconds: 300 }, seed);
    const sum = (log: typeof late) => log.at.reduce((total, at) => total + at, 0);
    expect((sum(late) - sum(truth)) / sessions.from.length).toBeCloseTo(300, 3);
    const seconds = truth.at.map(Math.floor);
    expect(seconds).toEqual(seconds.toSorted());
  });
});

test('a queue by due time holds each account once, wherever it is put', () => {
  const random = createRandom(seed);
  const queue = createDueQueue(50);
  const due = new Map<number, number>();
  for (let step = 0; step < 20_000; step += 1) {
    const account = random.below(50);
    const smallest = Math.min(Number.POSITIVE_INFINITY, ...due.values());
    expect(queue.smallestDue()).toBe(smallest);
    if (random.next() < 0.2) {
      queue.remove(account);
      due.delete(account);
    } else if (random.next() < 0.3 && due.size > 0) {
      const popped = queue.pop();
      expect(due.get(popped)).toBe(smallest);
      due.delete(popped);
    } else {
      const at = random.below(1000);
      queue.put(account, at);
      due.set(account, at);
    }
    expect(queue.dueOf(account)).toBe(due.get(account) ?? Number.NaN);
  }
  while (due.size > 0) due.delete(queue.pop());
  expect(() => queue.pop()).toThrow(RangeError);
});

test('a row with sessions compares with today’s policy, and shares what its world showed', async () => {
  const { rows, presence } = await runRows({
    accounts: 100,
    presenceAccounts: 100,
    seed,
    rows: ['presence-small', 'presence-small-5s'],
    onProgress: () => undefined,
  });
  expect(rows).toEqual([]);
  expect(presence.map(({ name }) => name)).toEqual(['presence-small', 'presence-small-5s']);
  for (const row of presence) {
    expect(Object.keys(row.policies)).toEqual([
      'stride',
      'oracle',
      'oracle-of-presence',
      'stride-hints',
      'presence',
    ]);
    expect(row.ratioToRates).toBeCloseTo(row.mean / (row.policies.stride?.meanSeconds ?? 0), 10);
    expect(row.goals).toHaveLength(1);
  }
});
