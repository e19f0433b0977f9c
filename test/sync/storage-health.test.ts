import { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { refusalOf } from '../../db/storage-errors.ts';
import { createRefusalLog } from '../../src/app/refusal-log.ts';
import { createLogger } from '../../src/log.ts';
import { createScrubber } from '../../src/scrubber.ts';
import { createStorageHealth } from '../../src/sync/storage-health.ts';

describe('the health of the storage', () => {
  test('counts refusals of an account only when something was written since its last one', () => {
    const health = createStorageHealth(() => 0);
    expect([1, 2, 3, 4].map(() => health.refused(7))).toEqual([1, 1, 1, 1]);
    health.written(8);
    expect(health.refused(7)).toBe(2);
    health.recorded();
    expect(health.refused(7)).toBe(3);
    health.unchanged(7);
    expect(health.refused(7)).toBe(1);
  });

  test('is unhealthy when five accounts are refused among the last hundred writes, and not when one is, five times', () => {
    const health = createStorageHealth(() => 0);
    for (let time = 0; time < 20; time += 1) health.refused(1);
    for (const account of [2, 3, 4]) health.refused(account);
    expect(health.isUnhealthy()).toBe(false);
    health.refused(5);
    expect(health.isUnhealthy()).toBe(true);
    for (let account = 100; account < 198; account += 1) health.written(account);
    expect(health.isUnhealthy()).toBe(false);
  });

  test('is well ten minutes after the last refusal, though nothing was written since', () => {
    let now = 0;
    const health = createStorageHealth(() => now);
    for (const account of [1, 2, 3, 4, 5]) health.refused(account);
    expect(health.isUnhealthy()).toBe(true);
    now = 600_001;
    expect(health.isUnhealthy()).toBe(false);
  });
});

test('the log says once that writes are refused, and once that they are taken again', () => {
  const lines: unknown[] = [];
  const destination = new Writable({
    write(chunk, _, done) {
      lines.push(JSON.parse(String(chunk)));
      done();
    },
  });
  let now = 0;
  const log = createRefusalLog(
    createLogger({ level: 'info', scrubber: createScrubber(), destination }),
    () => now,
  );
  log.written();
  const refusal = refusalOf(Object.assign(new Error('cannot update'), { code: '55000', detail: 'a row' }));
  for (; now < 120_000; now += 10_000) {
    log.refused(refusal, 1);
    log.written();
  }
  now += 60_000;
  log.written();
  log.written();
  expect(lines).toEqual([
    expect.objectContaining({ level: 'warn', sqlstate: '55', reason: '55000: cannot update' }),
    expect.objectContaining({ level: 'info', refused: 12, seconds: 110 }),
  ]);
});
