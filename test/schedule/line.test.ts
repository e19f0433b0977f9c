import { describe, expect, test } from 'vitest';
import {
  effectiveMaxIntervalSeconds,
  isHeldByMinInterval,
  kappa,
  type Line,
  secondsPerUnit,
  unitsOf,
  weightBounds,
} from '../../src/schedule/line.ts';

const small: Line = {
  accounts: 1000,
  weightSum: 1000,
  callsPerSecond: 190,
  minIntervalSeconds: 30,
  maxIntervalSeconds: 86_400,
};
const large: Line = { ...small, accounts: 1_000_000, weightSum: 700_000 };

describe('the line', () => {
  test('a unit lasts as long as the budget needs for all, but at least a minute', () => {
    expect(secondsPerUnit(small)).toBe(60);
    expect(secondsPerUnit(large)).toBeCloseTo(700_000 / 190);
    expect(unitsOf(large, 700_000 / 190)).toBeCloseTo(1);
  });

  test('nobody waits more than two and a half round-robin cycles', () => {
    const { least } = weightBounds(large);
    const cycle = large.accounts / large.callsPerSecond;
    expect(secondsPerUnit(large) / least).toBeCloseTo(kappa * cycle);
  });

  test('nobody is polled more often than POLL_MIN_INTERVAL', () => {
    for (const line of [small, large]) {
      expect(secondsPerUnit(line) / weightBounds(line).greatest).toBeCloseTo(30);
    }
  });

  test('POLL_MIN_INTERVAL goes before everything else', () => {
    const line = { ...small, accounts: 2, weightSum: 2, minIntervalSeconds: 3600, maxIntervalSeconds: 3600 };
    const { least, greatest } = weightBounds(line);
    expect(least).toBe(greatest);
    expect(secondsPerUnit(line) / least).toBeCloseTo(3600);
  });

  test('POLL_MAX_INTERVAL holds where half of the budget is enough for it, and gives way where it is not', () => {
    const tight = { ...small, maxIntervalSeconds: 60 };
    expect(effectiveMaxIntervalSeconds(tight)).toBe(60);
    expect(secondsPerUnit(tight) / weightBounds(tight).least).toBeCloseTo(60);
    const impossible = { ...large, maxIntervalSeconds: 60 };
    expect(effectiveMaxIntervalSeconds(impossible)).toBeCloseTo(1_000_000 / 95);
  });

  test('a floor that rises with the length of a unit settles instead of feeding back', () => {
    for (const maxIntervalSeconds of [1, 60, 3600]) {
      let line: Line = { ...large, maxIntervalSeconds };
      // Every account at its floor: the sum of weights follows, and with it the length of a unit.
      for (let round = 0; round < 100; round += 1) {
        line = { ...line, weightSum: line.accounts * Math.max(0.7, weightBounds(line).least) };
      }
      const settled = line.weightSum;
      line = { ...line, weightSum: line.accounts * Math.max(0.7, weightBounds(line).least) };
      expect(line.weightSum / settled).toBeCloseTo(1);
      expect(line.weightSum).toBeLessThanOrEqual(large.weightSum * 1.01);
    }
  });

  test('an empty line has bounds too', () => {
    const { least, greatest } = weightBounds({ ...small, accounts: 0, weightSum: 0 });
    expect(least).toBeGreaterThan(0);
    expect(greatest).toBe(2);
  });
});

test.each([
  ['an hour where the budget would read everybody each 5 s', 1000, 3600, 1000 / 60, true],
  ['half a minute, the default', 1000, 30, 1000, false],
  ['an hour where a round takes longer', 1_000_000, 3600, 1_000_000, false],
  ['two minutes where most accounts are read far more seldom', 1000, 120, 100, false],
  ['no account', 0, 3600, 0, false],
])(
  'POLL_MIN_INTERVAL is what keeps accounts waiting: %s',
  (_what, accounts, minIntervalSeconds, weightSum, holds) => {
    const line = { accounts, weightSum, callsPerSecond: 190, minIntervalSeconds, maxIntervalSeconds: 86_400 };
    expect(isHeldByMinInterval(line)).toBe(holds);
  },
);
