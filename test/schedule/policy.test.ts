import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  afterQuietPeriod,
  backOff,
  decideNextPoll,
  type Estimate,
  memoryDays,
  type Observation,
  ratePerDay,
} from '../../src/schedule/policy.ts';
import { type QueueStats, secondsPerUnit, weightBounds } from '../../src/schedule/queue-stats.ts';

const dayMs = 86_400_000;
const queue: QueueStats = {
  accounts: 1_000_000,
  weightSum: 600_000,
  callsPerSecond: 190,
  minIntervalSeconds: 30,
  maxIntervalSeconds: 86_400,
};
const never: Estimate = {
  decayedChanges: 0,
  weight: 1,
  firstPolledAt: undefined,
  lastPolledAt: undefined,
  lastChangedAt: undefined,
};
const half = () => 0.5;

function seen(over: Partial<Observation>): Observation {
  return { at: 0, changed: false, sequenceBefore: 1, sequenceNow: 1, ...over };
}

describe('the polling policy', () => {
  test('the first poll knows only the prior, one change a day, and draws any phase between the shortest and the longest interval', () => {
    const first = decideNextPoll(queue, never, seen({ changed: true, sequenceNow: 999 }), () => 0.25);
    expect(first.decayedChanges).toBe(0);
    expect(first.weight).toBeCloseTo(1);
    // Of a unit of 3158 s.
    const shortest = 30 / 3158;
    expect(first.stride).toBeCloseTo(shortest + 0.25 * (1.1 - shortest), 3);
  });

  test('later polls are jittered by a tenth', () => {
    const known: Estimate = { ...never, decayedChanges: 0, weight: 1, firstPolledAt: 0, lastPolledAt: 0 };
    const strides = [0, 0.999_999].map((chance) =>
      decideNextPoll(queue, known, seen({ at: 1000 }), () => chance),
    );
    expect(strides.map(({ stride, weight }) => stride * weight)).toEqual([
      expect.closeTo(0.9, 5),
      expect.closeTo(1.1, 5),
    ]);
  });

  test.each([1, 10, 100])('an account that changes %s times a day comes to be known as such', (perDay) => {
    // Polled ten times as often as it changes, for ten days, in even steps.
    let estimate: Estimate = { ...never, firstPolledAt: 0, lastPolledAt: 0 };
    const step = dayMs / perDay / 10;
    const polls = Math.ceil((10 * dayMs) / step);
    for (let poll = 1; poll <= polls; poll += 1) {
      const changed = poll % 10 === 0;
      const at = poll * step;
      const decision = decideNextPoll(
        queue,
        estimate,
        seen({ at, changed, sequenceNow: changed ? 2 : 1 }),
        half,
      );
      estimate = {
        ...estimate,
        ...decision,
        lastPolledAt: at,
        lastChangedAt: changed ? at : estimate.lastChangedAt,
      };
    }
    const rate = ratePerDay(estimate.decayedChanges, 10);
    expect(rate / perDay).toBeGreaterThan(0.7);
    expect(rate / perDay).toBeLessThan(1.5);
  });

  test('a hundred times the changes bring ten times the polls', () => {
    const weightFor = (perDay: number) => {
      const plenty = {
        ...queue,
        accounts: 1_000_000,
        weightSum: 1000,
        minIntervalSeconds: 0.01,
        maxIntervalSeconds: 1e9,
      };
      const mass = perDay * (memoryDays * (1 - Math.exp(-10 / memoryDays)) + 0.05) - 0.05;
      const known = {
        ...never,
        decayedChanges: mass,
        weight: 1,
        firstPolledAt: 0,
        lastPolledAt: 10 * dayMs,
        lastChangedAt: 10 * dayMs,
      };
      return decideNextPoll(plenty, known, seen({ at: 10 * dayMs + 1 }), half).weight;
    };
    expect(weightFor(100) / weightFor(1)).toBeCloseTo(10, 0);
  });

  test('an account is believed the less the longer it has been silent, and in full again after a change', () => {
    const lively: Estimate = {
      decayedChanges: 20,
      weight: 1,
      firstPolledAt: 0,
      lastPolledAt: 10 * dayMs,
      lastChangedAt: 10 * dayMs,
    };
    const weightAfter = (lastChangedAt: number, changed: boolean) =>
      decideNextPoll(
        queue,
        { ...lively, lastChangedAt },
        seen({ at: 10 * dayMs + 1000, changed, sequenceNow: 2 }),
        half,
      ).weight;
    const rate = ratePerDay(20, 10);
    expect(weightAfter(10 * dayMs, false)).toBeCloseTo(Math.sqrt(rate), 2);
    expect(weightAfter(9 * dayMs, false)).toBeCloseTo(Math.sqrt(afterQuietPeriod(rate, 1)), 2);
    expect(afterQuietPeriod(rate, 1)).toBeLessThan(rate / 4);
    expect(weightAfter(9 * dayMs, true)).toBeGreaterThan(Math.sqrt(rate));
  });

  test('twice the usual gap of silence halves a rate; a clock set back leaves it alone', () => {
    expect(afterQuietPeriod(4, 0.5)).toBeCloseTo(2);
    expect(afterQuietPeriod(4, -1)).toBe(4);
  });

  test('a bulk import that moves the sequence by 500 counts for a few changes', () => {
    const known: Estimate = {
      ...never,
      decayedChanges: 2,
      weight: 1,
      firstPolledAt: 0,
      lastPolledAt: 10 * dayMs,
    };
    const at = 10 * dayMs + 3_600_000;
    const one = decideNextPoll(queue, known, seen({ at, changed: true, sequenceNow: 2 }), half);
    const bulk = decideNextPoll(queue, known, seen({ at, changed: true, sequenceNow: 501 }), half);
    expect(bulk.decayedChanges - one.decayedChanges).toBeGreaterThan(0);
    expect(bulk.decayedChanges - one.decayedChanges).toBeLessThan(3);
  });

  test('a sequence that went back, or content that moved without it, counts as one change', () => {
    const known: Estimate = { ...never, decayedChanges: 0, weight: 1, firstPolledAt: 0, lastPolledAt: dayMs };
    const mass = (sequenceNow: number) =>
      decideNextPoll(
        queue,
        known,
        seen({ at: 2 * dayMs, changed: true, sequenceBefore: 9, sequenceNow }),
        half,
      ).decayedChanges;
    expect(mass(3)).toBeCloseTo(mass(10));
    expect(mass(9)).toBeCloseTo(mass(10));
  });

  test('clocks that stop or go back leave the estimate as it was', () => {
    const known: Estimate = {
      ...never,
      decayedChanges: 1.5,
      weight: 1,
      firstPolledAt: 0,
      lastPolledAt: dayMs,
    };
    for (const at of [dayMs, dayMs - 5000]) {
      expect(
        decideNextPoll(queue, known, seen({ at, changed: true, sequenceNow: 5 }), half).decayedChanges,
      ).toBe(1.5);
    }
  });

  test('whatever is seen, weight stays within bounds and no poll comes before the shortest interval is over', () => {
    fc.assert(
      fc.property(
        fc.record({
          accounts: fc.integer({ min: 1, max: 10_000_000 }),
          mean: fc.double({ min: 0.05, max: 50, noNaN: true }),
          callsPerSecond: fc.integer({ min: 1, max: 199 }),
          minIntervalSeconds: fc.constantFrom(0.1, 1, 30, 3600),
          maxIntervalSeconds: fc.constantFrom(3600, 86_400, 2_592_000),
        }),
        fc.double({ min: 0, max: 1e6, noNaN: true }),
        fc.integer({ min: 0, max: 1000 * dayMs }),
        fc.integer({ min: -dayMs, max: 100 * dayMs }),
        fc.boolean(),
        fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        fc.boolean(),
        (shape, decayedChanges, lastPolledAt, interval, changed, sequenceNow, chance, isFirst) => {
          const any: QueueStats = { ...shape, weightSum: shape.mean * shape.accounts };
          const estimate = isFirst ? never : { ...never, decayedChanges, firstPolledAt: 0, lastPolledAt };
          const at = lastPolledAt + interval;
          const decision = decideNextPoll(any, estimate, seen({ at, changed, sequenceNow }), () => chance);
          const { least, greatest } = weightBounds(any);
          expect(decision.decayedChanges).toBeGreaterThanOrEqual(0);
          expect(decision.weight).toBeGreaterThanOrEqual(least);
          expect(decision.weight).toBeLessThanOrEqual(greatest);
          expect(decision.stride * secondsPerUnit(any)).toBeGreaterThanOrEqual(
            any.minIntervalSeconds * (1 - 1e-9),
          );
          expect(Number.isFinite(decision.stride)).toBe(true);
        },
      ),
    );
  });
});

describe('backing off', () => {
  const unit = queue.weightSum / queue.callsPerSecond;

  test.each([
    [1, 30],
    [2, 60],
    [3, 120],
    [7, 1920],
    [8, 3600],
    [1000, 3600],
  ])('after %i failures in a row an account waits up to %i seconds', (failures, seconds) => {
    expect(backOff(queue, failures, () => 1) * unit).toBeCloseTo(seconds);
    expect(backOff(queue, failures, () => 0)).toBe(0);
  });
});
