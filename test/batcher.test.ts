import { expect, test } from 'vitest';
import { createBatcher } from '../src/batcher.ts';
import { waitFor } from './support/wait-for.ts';

test('a batch that could not be stored in part goes before what came later, and each item is stored once', async () => {
  const batches: (readonly number[])[] = [];
  const batcher = createBatcher<number>({
    gatherMs: 20,
    retryMs: 20,
    mostAtOnce: 3,
    async store(batch) {
      batches.push(batch);
      return batches.length === 1 ? batch.slice(1) : [];
    },
  });
  for (const item of [1, 2, 3, 4]) batcher.add(item);
  expect(batcher.size()).toBe(4);
  await waitFor('the last batch', () => batches.length === 2 && batcher.size() === 0);
  expect(batches).toEqual([
    [1, 2, 3],
    [2, 3, 4],
  ]);
});

test('an item that comes in the moment in which a run ends is stored too', async () => {
  const stored: number[] = [];
  const batcher = createBatcher<number>({
    gatherMs: 1,
    retryMs: 1,
    async store(batch) {
      stored.push(...batch);
      // In each of the next turns of the microtasks.
      if (stored.length < 50)
        for (let turns = 0, turn = Promise.resolve(); turns < 6; turns += 1)
          turn = turn.then(() => void (turns === stored.length % 6 && batcher.add(stored.length)));
      return [];
    },
  });
  batcher.add(0);
  await waitFor('all items', () => stored.length >= 50);
  await waitFor('the end', () => batcher.size() === 0);
});

test('what waits is stored at once when it is closed, and what can’t be stored then ends it', async () => {
  let stored = 0;
  const batcher = createBatcher<number>({
    gatherMs: 60_000,
    retryMs: 60_000,
    store: async (batch) => {
      stored += batch.length;
      return batch;
    },
  });
  batcher.add(1);
  await batcher.close();
  expect(stored).toBe(1);
});
