import { describe, expect, test } from 'vitest';
import { createCache } from '../../src/cache.ts';
import { createMetrics } from '../../src/metrics/create-metrics.ts';
import { exposeDatabase } from '../../src/metrics/database-gauges.ts';
import {
  counters,
  databaseGauges,
  freshness,
  histograms,
  processGauges,
} from '../../src/metrics/definitions.ts';
import { createPeakRate } from '../../src/metrics/peak-rate.ts';

const all = [
  ...Object.values(counters),
  ...Object.values(histograms),
  ...Object.values(processGauges),
  ...Object.values(databaseGauges),
  freshness,
];

test('every metric ends in its unit, says what it is, and has no label that grows without bound', () => {
  const bounded = new Set([
    'app',
    'outcome',
    'class',
    'version',
    'commit',
    'node',
    'queue',
    'kind',
    'status',
    'reason',
    'measure',
    'loop',
    'part',
    'state',
    'schedule',
    'sqlstate',
  ]);
  for (const { name, help, labelNames } of all) {
    expect(name).toMatch(
      /^tim_mirror_[a-z_]*(total|seconds|accounts|changes|ratio|calls_per_second|connections|statements|keys|months|info|bytes|responses)$/,
    );
    expect(help).toMatch(/\.$/);
    for (const label of labelNames) expect(bounded).toContain(label);
  }
  expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
});

describe('the most calls in any second', () => {
  test('are those of a sliding second, not of one by the clock', () => {
    let now = 0;
    const rate = createPeakRate(() => now);
    for (const moment of [600, 700, 800, 1100, 1200, 1300, 1599]) {
      now = moment;
      rate.note();
    }
    expect(rate.peak()).toBe(7);
  });

  test('are forgotten after a minute', () => {
    let now = 0;
    const rate = createPeakRate(() => now);
    for (let times = 0; times < 5; times += 1) rate.note();
    now = 59_900;
    rate.note();
    expect(rate.peak()).toBe(5);
    now = 60_900;
    expect(rate.peak()).toBe(1);
  });
});

test('two processes in one have metrics of their own', async () => {
  const [one, other] = [createMetrics(), createMetrics()];
  one.forApp(1, 190).callEnded('answered', 0.1);
  expect(await one.registry.metrics()).toContain('tim_mirror_calls_total{app="1",outcome="answered"} 1');
  expect(await other.registry.metrics()).not.toContain('outcome="answered"');
});

test('a scrape does not wait for a Postgres that hangs', async () => {
  const { registry } = createMetrics();
  exposeDatabase(registry, createCache({ keepMs: 0, read: () => new Promise<never>(() => undefined) }));
  const began = performance.now();
  expect(await registry.metrics()).toContain('process_cpu_seconds_total');
  expect(performance.now() - began).toBeLessThan(5000);
});

describe('a cache', () => {
  test('reads once for all who ask at the same time, and again when its time has passed', async () => {
    let now = 0;
    let reads = 0;
    const cache = createCache({ keepMs: 100, now: () => now, read: async () => ++reads });
    expect(await Promise.all([cache.get(), cache.get()])).toEqual([1, 1]);
    now = 99;
    expect(await cache.get()).toBe(1);
    now = 101;
    expect(await cache.get()).toBe(2);
    expect(cache.latest()).toEqual({ value: 2, ageMs: 0 });
  });

  test('keeps what is dear to read for twenty times as long as it took', async () => {
    let now = 0;
    let reads = 0;
    const cache = createCache({
      keepMs: 100,
      now: () => now,
      read: async () => {
        now += 1000;
        return ++reads;
      },
    });
    await cache.get();
    now += 19_000;
    expect(await cache.get()).toBe(1);
    now += 1001;
    expect(await cache.get()).toBe(2);
  });

  test('keeps the last value where a new one can’t be read', async () => {
    let now = 0;
    let fails = false;
    const read = async () => (fails ? Promise.reject(new Error('away')) : 1);
    const cache = createCache({ keepMs: 100, now: () => now, read });
    await cache.get();
    fails = true;
    now = 101;
    await expect(cache.get()).rejects.toThrow('away');
    expect(cache.latest()).toEqual({ value: 1, ageMs: 101 });
  });
});
