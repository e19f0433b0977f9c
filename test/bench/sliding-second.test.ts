import { describe, expect, test } from 'vitest';
import { longestGapMs, ratePerSecond, worstSecond } from '../../bench/support/sliding-second.ts';

describe('moments over a sliding second', () => {
  test('the worst second lies where most of them are, wherever seconds begin', () => {
    expect(worstSecond([900, 950, 1050, 1100, 3000])).toBe(4);
    expect(worstSecond([1100, 3000, 950, 900, 1050])).toBe(4);
    expect(worstSecond([])).toBe(0);
  });

  test('two moments a second apart are not in one second', () => {
    expect(worstSecond([0, 1000])).toBe(1);
    expect(worstSecond([0, 999.9])).toBe(2);
  });

  test('a fixed window of 190 is caught: its borders let twice as many through', () => {
    const late = Array.from({ length: 190 }, (_, index) => 990 - index / 100);
    const early = Array.from({ length: 190 }, (_, index) => 1000 + index / 100);
    expect(worstSecond([...late, ...early])).toBe(380);
  });

  test('the longest gap, and the rate between two moments', () => {
    expect(longestGapMs([30, 0, 10])).toBe(20);
    expect(longestGapMs([5])).toBe(0);
    expect(ratePerSecond([0, 500, 1000, 1500, 2000], 0, 2000)).toBe(2);
  });
});
