import { expect, test } from 'vitest';
import { summarise } from '../../bench/soak/run-soak.ts';
import type { Sample } from '../../bench/soak/sample.ts';
import { slopeOf } from '../../bench/support/slope.ts';

test('a slope is that of the line nearest to the points, and none where there is no line', () => {
  expect(slopeOf([1, 2, 3, 4].map((x) => ({ x, y: 3 * x + 1 })))).toBeCloseTo(3);
  expect(slopeOf([{ x: 1, y: 5 }])).toBe(0);
  expect(slopeOf([])).toBe(0);
});

const sampleAt = (hours: number, rssMb: number): Sample => ({
  hours,
  calls: hours * 3600 * 190,
  worstSecond: 193,
  rssMb,
  heapMb: 40,
  connections: 11,
  stateTableMb: 8,
  stateIndexMb: 3,
  redisMb: 2,
  historyMb: 48 + hours,
});

test('a soak leaves out the first quarter, in which memory fills, and reports what an hour adds', () => {
  const filling = [100, 250, 280].map((rssMb, index) => sampleAt(index / 20, rssMb));
  const steady = Array.from({ length: 16 }, (_, index) => sampleAt((index + 4) / 16, 300 + index / 16));
  const { slopes, callsPerSecond } = summarise({ accounts: 1, minutes: 60 }, [...filling, ...steady]);
  expect(callsPerSecond).toBeCloseTo(190);
  expect(slopes.rssMb.perHour).toBeCloseTo(1);
  expect(slopes.heapMb.perHour).toBe(0);
  expect(slopes.historyMb.perHour).toBeCloseTo(1);
});
