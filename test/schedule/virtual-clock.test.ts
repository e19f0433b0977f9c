import { describe, expect, test } from 'vitest';
import { shortestUnitSeconds as unit } from '../../src/schedule/queue-stats.ts';
import { claimLimit, moveClock, openClock, shareOf } from '../../src/schedule/virtual-clock.ts';

describe('the virtual clock', () => {
  test('a line that is empty lets it run with real time', () => {
    const open = openClock({ now: 10, ceiling: 10 }, unit / 10);
    expect(open).toEqual({ now: 10, ceiling: 10.1 });
    expect(moveClock(open, { full: false, largestDue: 10.02 })).toEqual({ now: 10.1, ceiling: 10.1 });
  });

  test('a full claim sets it to where the line has got to', () => {
    const open = openClock({ now: 10, ceiling: 10 }, unit / 10);
    expect(moveClock(open, { full: true, largestDue: 10.02 }).now).toBe(10.02);
  });

  test('it never goes back, for late accounts, hints at the head, or time set back', () => {
    const open = openClock({ now: 10, ceiling: 10.5 }, -3600);
    expect(open).toEqual({ now: 10, ceiling: 10.5 });
    for (const largestDue of [3, Number.NEGATIVE_INFINITY, undefined]) {
      expect(moveClock(open, { full: true, largestDue }).now).toBe(10);
    }
  });

  test('a pause of hours is not followed by a rush: at most a minute is made up', () => {
    expect(openClock({ now: 10, ceiling: 10 }, 36_000).ceiling).toBeCloseTo(10 + 60 / unit);
  });

  test('time that a full claim did not use is kept, up to a minute', () => {
    let clock = { now: 0, ceiling: 0 };
    for (let second = 0; second < 30; second += 1) {
      clock = moveClock(openClock(clock, 1), { full: true, largestDue: 0 });
    }
    expect(clock.now).toBe(0);
    expect(clock.ceiling).toBeCloseTo(30 / unit);
  });

  test('a claim takes what is due within half a second, for that is nearer to it than to the next', () => {
    expect(claimLimit({ now: 9, ceiling: 10 })).toBeCloseTo(10 + 0.5 / unit);
  });
});

test.each([
  [0, 0.2, 0],
  [5, 0.2, 1],
  [240, 0.2, 48],
  [480, 0.1, 48],
])('of %i places a share of %d is %i', (places, share, expected) => {
  for (const chance of [0, 0.999_999]) expect(shareOf(places, share, () => chance)).toBe(expected);
});

test('where a share is no whole place, chance decides, so that one call a second serves both sides', () => {
  expect(shareOf(1, 0.2, () => 0.79)).toBe(0);
  expect(shareOf(1, 0.2, () => 0.8)).toBe(1);
  expect(shareOf(7, 0.2, () => 0.59)).toBe(1);
  expect(shareOf(7, 0.2, () => 0.6)).toBe(2);
});
