import { describe, expect, test } from 'vitest';
import {
  effectiveMaxIntervalSeconds,
  floorOf,
  isHeldByMinInterval,
  type QueueStats,
  roundSeconds,
  secondsPerUnit,
  unitsOf,
  weightBounds,
} from '../../src/schedule/queue-stats.ts';

const small: QueueStats = {
  accounts: 1000,
  weightSum: 1000,
  callsPerSecond: 190,
  minIntervalSeconds: 10,
  maxIntervalSeconds: 86_400,
};
const large: QueueStats = { ...small, accounts: 1_000_000, weightSum: 700_000 };

/** The longest that an account of this queue waits, in rounds. */
function longestWaitInRounds(queue: QueueStats): number {
  const interval = secondsPerUnit(queue) / weightBounds(queue).least;
  return (interval * (1 + floorOf(queue).jitter)) / roundSeconds(queue);
}

/** The queue when every account has the weight that its own rate or the floor gives it. */
function settle(queue: QueueStats, ownWeight: number): QueueStats {
  let settled = queue;
  for (let step = 0; step < 500; step += 1) {
    const { least, greatest } = weightBounds(settled);
    settled = { ...settled, weightSum: queue.accounts * Math.min(Math.max(ownWeight, least), greatest) };
  }
  return settled;
}

describe('the queue', () => {
  test('a unit lasts as long as the budget needs for all, but at least 54.5 s', () => {
    expect(secondsPerUnit(small)).toBeCloseTo(60 / 1.1);
    expect(secondsPerUnit(large)).toBeCloseTo(700_000 / 190);
    expect(unitsOf(large, 700_000 / 190)).toBeCloseTo(1);
  });

  test.each([100, 1000, 1900, 2000, 3000, 10_000, 30_000])(
    'of %i accounts none waits longer than 1.1 rounds or POLL_MIN_INTERVAL, and the calls are used',
    (accounts) => {
      for (const ownWeight of [0.01, 0.3, 1, 5]) {
        const queue = settle({ ...small, accounts }, ownWeight);
        const longest = longestWaitInRounds(queue) * roundSeconds(queue);
        expect(longest).toBeLessThanOrEqual(
          Math.max(1.1 * roundSeconds(queue), queue.minIntervalSeconds * 1.03),
        );
        const used = queue.weightSum / secondsPerUnit(queue);
        expect(used).toBeGreaterThan(0.95 * Math.min(queue.callsPerSecond, accounts / 10));
      }
    },
  );

  test.each([
    [30_000, 1.1],
    [60_000, 1.7],
    [100_000, 2.1],
    [300_000, 2.75],
    [1_000_000, 2.75],
    // POLL_MAX_INTERVAL raises the floor to two rounds.
    [10_000_000, 2.2],
  ])('of %i accounts none waits longer than %f rounds', (accounts, rounds) => {
    const queue = { ...large, accounts, weightSum: accounts };
    expect(longestWaitInRounds(queue)).toBeLessThanOrEqual(rounds * (1 + 1e-9));
    expect(longestWaitInRounds(queue)).toBeGreaterThan(rounds - 0.2);
  });

  test('the floor rises with the length of a round and never jumps', () => {
    let before = 0;
    for (let accounts = 1; accounts < 10_000_000; accounts = Math.ceil(accounts * 1.05)) {
      const { rounds } = floorOf({ accounts, callsPerSecond: 190 });
      expect(rounds).toBeGreaterThanOrEqual(before);
      expect(rounds - before).toBeLessThan(before === 0 ? 2 : 0.04);
      before = rounds;
    }
  });

  test('no account is polled more often than POLL_MIN_INTERVAL', () => {
    for (const queue of [small, large]) {
      expect(secondsPerUnit(queue) / weightBounds(queue).greatest).toBeCloseTo(10);
    }
  });

  test('POLL_MIN_INTERVAL goes before everything else', () => {
    const queue = { ...small, accounts: 2, weightSum: 2, minIntervalSeconds: 3600, maxIntervalSeconds: 3600 };
    const { least, greatest } = weightBounds(queue);
    expect(least).toBe(greatest);
    expect(secondsPerUnit(queue) / least).toBeCloseTo(3600);
  });

  test('POLL_MAX_INTERVAL holds where half of the budget is enough for it, and gives way where it is not', () => {
    const tight = { ...large, maxIntervalSeconds: 12_000 };
    expect(effectiveMaxIntervalSeconds(tight)).toBe(12_000);
    expect(secondsPerUnit(tight) / weightBounds(tight).least).toBeCloseTo(12_000);
    const impossible = { ...large, maxIntervalSeconds: 60 };
    expect(effectiveMaxIntervalSeconds(impossible)).toBeCloseTo(1_000_000 / 95);
  });

  test('a floor that rises with the length of a unit settles instead of feeding back', () => {
    for (const maxIntervalSeconds of [1, 60, 3600]) {
      let queue: QueueStats = { ...large, maxIntervalSeconds };
      // Every account at its floor: the sum of weights follows, and with it the length of a unit.
      for (let round = 0; round < 100; round += 1) {
        queue = { ...queue, weightSum: queue.accounts * Math.max(0.7, weightBounds(queue).least) };
      }
      const settled = queue.weightSum;
      queue = { ...queue, weightSum: queue.accounts * Math.max(0.7, weightBounds(queue).least) };
      expect(queue.weightSum / settled).toBeCloseTo(1);
      expect(queue.weightSum).toBeLessThanOrEqual(large.weightSum * 1.01);
    }
  });

  test('an empty queue has bounds too', () => {
    const { least, greatest } = weightBounds({ ...small, accounts: 0, weightSum: 0 });
    expect(least).toBeGreaterThan(0);
    expect(greatest).toBeCloseTo(60 / 1.1 / 10);
  });
});

test.each([
  ['an hour where the budget would read all accounts each 5 s', 1000, 3600, true],
  ['half a minute where the budget would read all accounts each 5 s', 1000, 30, true],
  ['ten seconds, the default', 1000, 10, false],
  ['an hour where a round takes longer', 1_000_000, 3600, false],
  ['no account', 0, 3600, false],
])('POLL_MIN_INTERVAL is what keeps accounts waiting: %s', (_what, accounts, minIntervalSeconds, holds) => {
  const queue = {
    accounts,
    weightSum: accounts,
    callsPerSecond: 190,
    minIntervalSeconds,
    maxIntervalSeconds: 86_400,
  };
  expect(isHeldByMinInterval(queue)).toBe(holds);
});
