import { describe, expect, test } from 'vitest';
import { createBatcher } from '../../src/hints/batcher.ts';
import { createRecent } from '../../src/hints/recent.ts';
import { silentLogger } from '../../src/log.ts';
import { waitFor } from '../support/wait-for.ts';

const ids = (count: number) => Array.from({ length: count }, (_, index) => `user-${index}`);
const log = silentLogger();

describe('gathering', () => {
  test('hands each id on once, sorted, however often it was named', async () => {
    const stored: (readonly string[])[] = [];
    const gatherer = createBatcher({ log, store: async (lot) => void stored.push(lot) });
    for (let times = 0; times < 100; times += 1) gatherer.add(['bob', 'ann', 'bob']);
    await waitFor('the lot', () => stored.length > 0);
    await gatherer.close();
    expect(stored).toEqual([['ann', 'bob']]);
  });

  test('takes no more than 10,000 at a time, says how many it forgot, and makes room again', async () => {
    const stored: string[] = [];
    const gatherer = createBatcher({ log, store: async (lot) => void stored.push(...lot) });
    expect(gatherer.add(ids(12_000))).toBe(2000);
    // Those that wait are named once more, which takes no room.
    expect(gatherer.add(ids(10_000))).toBe(0);
    await waitFor('everything to be stored', () => stored.length === 10_000);
    expect(gatherer.add(['later'])).toBe(0);
    await gatherer.close();
    expect(new Set(stored).size).toBe(10_001);
  });

  test('keeps what could not be stored, and tries again', async () => {
    let failures = 0;
    const stored: string[] = [];
    const gatherer = createBatcher({
      log,
      async store(lot) {
        if (failures === 0) {
          failures += 1;
          throw new Error('away');
        }
        stored.push(...lot);
      },
    });
    gatherer.add(['ann']);
    await waitFor('the failure', () => failures === 1);
    gatherer.add(['bob']);
    await waitFor('the lot', () => stored.length === 2);
    expect(stored.toSorted()).toEqual(['ann', 'bob']);
    await gatherer.close();
  });

  test('hands on what waits when it ends, and does not wait for a database that is away', async () => {
    const stored: string[] = [];
    const gatherer = createBatcher({ log, store: async (lot) => void stored.push(...lot) });
    gatherer.add(ids(2500));
    await gatherer.close();
    expect(stored).toHaveLength(2500);
    expect(gatherer.add(['late'])).toBe(1);

    const failing = createBatcher({ log, store: () => Promise.reject(new Error('away')) });
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
