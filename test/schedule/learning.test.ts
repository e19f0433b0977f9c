import { describe, expect, test } from 'vitest';
import { calibrationSampleOf } from '../../src/schedule/learning.ts';
import type { Estimate } from '../../src/schedule/policy.ts';
import { createRandom } from '../../src/simulator/random.ts';
import { formatLearning, reportLearning } from '../../src/status/learning-report.ts';

const dayMs = 86_400_000;
/** Watched for ten days, about ten changes a day, last polled at the start. */
const estimate: Estimate = {
  decayedChanges: 20,
  weight: 3,
  firstPolledAt: -10 * dayMs,
  lastPolledAt: 0,
  lastChangedAt: 0,
};

describe('the sample of a poll', () => {
  test.each([
    [10, 10, false, 'none'],
    [10, 11, true, 'one'],
    [10, 12, true, 'two'],
    [10, 14, true, 'three_or_four'],
    [10, 15, true, 'more'],
    [10, 3, true, 'back'],
    [10, 10, true, 'silent'],
  ])('from sequence %i to %i (changed: %s) is %s', (sequenceBefore, sequenceNow, changed, step) => {
    expect(calibrationSampleOf(estimate, { at: 90_000, changed, sequenceBefore, sequenceNow })).toMatchObject(
      {
        step,
        // 64 to 128 seconds.
        intervalLog2: 6,
      },
    );
  });

  test('says how much was expected', () => {
    const sample = calibrationSampleOf(estimate, {
      at: dayMs / 10,
      changed: false,
      sequenceBefore: 1,
      sequenceNow: 1,
    });
    expect(sample?.expected).toBeGreaterThan(0.5);
    expect(sample?.expected).toBeLessThan(1.5);
  });

  test('of a first read there is none, nor of two at one instant', () => {
    const seen = { at: 5, changed: true, sequenceBefore: 1, sequenceNow: 2 };
    expect(calibrationSampleOf({ ...estimate, lastPolledAt: undefined }, seen)).toBeUndefined();
    expect(calibrationSampleOf({ ...estimate, lastPolledAt: 5 }, seen)).toBeUndefined();
    expect(calibrationSampleOf(estimate, { ...seen, sequenceBefore: undefined })).toBeUndefined();
  });
});

describe('what is learnt', () => {
  /** Polls of a process whose changes come at `ratio` times the rate expected, each moving the sequence by `step`. */
  function learn(ratio: number, step: number) {
    const random = createRandom(7);
    const cells = new Map<
      string,
      { polls: number; expected: number; sample: NonNullable<ReturnType<typeof calibrationSampleOf>> }
    >();
    for (let poll = 0; poll < 20_000; poll += 1) {
      const at = 60_000 + random.below(600_000);
      const probe = { at, changed: false, sequenceBefore: 1, sequenceNow: 1 };
      const expected = calibrationSampleOf(estimate, probe)?.expected ?? 0;
      const changed = random.next() < 1 - Math.exp(-expected * ratio);
      const sample = calibrationSampleOf(estimate, {
        ...probe,
        changed,
        sequenceNow: changed ? 1 + step : 1,
      });
      if (sample === undefined) throw new Error('a sample was expected');
      const key = `${sample.intervalLog2} ${sample.expectedLog2} ${sample.step}`;
      const before = cells.get(key) ?? { polls: 0, expected: 0, sample };
      cells.set(key, { polls: before.polls + 1, expected: before.expected + sample.expected, sample });
    }
    return reportLearning(
      1,
      [...cells.values()].map(({ sample, polls, expected }) => ({ ...sample, appId: 1, polls, expected })),
    );
  }

  test('estimates that fit are said to fit, and increments of one to be counts', () => {
    const report = learn(1, 1);
    expect(report.polls).toBe(20_000);
    expect(report.incrementsAreCounts).toBe(true);
    expect(report.seenPerPredicted).toBeCloseTo(1, 1);
    expect(formatLearning(report)).toMatch(/look like counts.*\n.*memory and prior fit/);
  });

  test('and those that do not, not', () => {
    const report = learn(3, 7);
    expect(report.incrementsAreCounts).toBe(false);
    expect(report.seenPerPredicted).toBeGreaterThan(2);
    expect(formatLearning(report)).toMatch(/do not look like counts.*\n.*do not fit well/);
  });

  test('a hundred changes are the least for an estimate', () => {
    const report = reportLearning(1, [
      { appId: 1, intervalLog2: 5, expectedLog2: -6, step: 'one', polls: 99, expected: 2 },
    ]);
    expect(report).toMatchObject({ incrementsAreCounts: null, seenPerPredicted: null });
    expect(formatLearning(reportLearning(1, []))).toContain('nothing learnt yet');
  });
});
