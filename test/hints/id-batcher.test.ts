import { describe, expect, test } from 'vitest';
import { createIdBatcher } from '../../src/hints/id-batcher.ts';
import { createRecent } from '../../src/hints/recent.ts';
import { silentLogger } from '../../src/log.ts';
import { waitFor } from '../support/wait-for.ts';

const ids = (count: number) => Array.from({ length: count }, (_, index) => `user-${index}`);
const log = silentLogger();

describe('gathering', () => {
  test('hands each id on once, sorted, however often it was named', async () => {
    const stored: (readonly string[])[] = [];
    const batcher = createIdBatcher({ log, store: async (batch) => void stored.push(batch) });
    for (let times = 0; times < 100; times += 1) batcher.add(['bob', 'ann', 'bob']);
    await waitFor('the batch', () => stored.length > 0);
    await batcher.close();
    expect(stored).toEqual([['ann', 'bob']]);
  });

  test('takes no more than 10,000 at a time, says how many it forgot, and makes room again', async () => {
    const stored: string[] = [];
    const batcher = createIdBatcher({ log, store: async (batch) => void stored.push(...batch) });
    expect(batcher.add(ids(12_000))).toBe(2000);
    // Those that wait are named once more, which takes no room.
    expect(batcher.add(ids(10_000))).toBe(0);
    await waitFor('everything to be stored', () => stored.length === 10_000);
    expect(batcher.add(['later'])).toBe(0);
    await batcher.close();
    expect(new Set(stored).size).toBe(10_001);
  });

  test('keeps what could not be stored, and tries again', async () => {
    let failures = 0;
    const stored: string[] = [];
    const batcher = createIdBatcher({
      log,
      async store(batch) {
        if (failures === 0) {
          failures += 1;
          throw new Error('away');
        }
        stored.push(...batch);
      },
    });
    batcher.add(['ann']);
    await waitFor('the failure', () => failures === 1);
    batcher.add(['bob']);
    await waitFor('the batch', () => stored.length === 2);
    expect(stored.toSorted()).toEqual(['ann', 'bob']);
    await batcher.close();
  });

  test('hands on what waits when it ends, and does not wait for a database that is away', async () => {
    const stored: string[] = [];
    const batcher = createIdBatcher({ log, store: async (batch) => void stored.push(...batch) });
    batcher.add(ids(2500));
    await batcher.close();
    expect(stored).toHaveLength(2500);
    expect(batcher.add(['late'])).toBe(1);

    const failing = createIdBatcher({ log, store: () => Promise.reject(new Error('away')) });
    failing.add(['ann']);
    await failing.close();
  });
});

test('what was seen lately is known, in bounded memory', () => {
  const recent = createRecent(100);
  for (const id of ids(1000)) recent.add(id);
  expect(ids(1000).filter((id) => recent.has(id)).length).toBeLessThanOrEqual(200);
  for (const id of ids(1000).slice(900)) expect(recent.has(id)).toBe(true);
  expect(recent.has('user-0')).toBe(false);
});
