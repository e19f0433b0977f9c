import { createBatcher } from '../batcher.ts';
import type { Logger } from '../log.ts';

/** Gathers account ids of many requests, and stores each once. */
export interface IdBatcher {
  /** Takes ids in. Returns how many found no room and were forgotten. */
  add(ids: Iterable<string>): number;
  /** Takes no more ids in, and stores those that wait; resolves when that is done or has failed. */
  close(): Promise<void>;
}

interface IdBatcherOptions {
  /** Does what is to be done with ids, sorted and each once. One that fails is called again with the same. */
  readonly store: (ids: readonly string[]) => Promise<void>;
  readonly log: Logger;
}

/** Ids that may wait, 32 bytes each: what the vendor can send in a second or two. */
const mostWaiting = 10_000;
const mostAtOnce = 1000;
const gatherMs = 200;
const retryMs = 2000;

/** A batcher that stores at most a thousand ids each fifth of a second. */
export function createIdBatcher({ store, log }: IdBatcherOptions): IdBatcher {
  const waiting = new Set<string>();
  let closed = false;
  const batcher = createBatcher<string>({
    gatherMs,
    retryMs,
    mostAtOnce,
    async store(batch) {
      for (const id of batch) waiting.delete(id);
      try {
        await store(batch.toSorted());
        return [];
      } catch (error) {
        log.debug({ err: error, accounts: batch.length }, 'hinted accounts wait for postgres');
        const again = batch.filter((id) => !waiting.has(id));
        for (const id of again) waiting.add(id);
        return again;
      }
    },
  });

  return {
    add(ids) {
      let forgotten = 0;
      for (const id of ids) {
        if (waiting.has(id)) continue;
        if (waiting.size >= mostWaiting || closed) forgotten += 1;
        else {
          waiting.add(id);
          batcher.add(id);
        }
      }
      return forgotten;
    },
    async close() {
      closed = true;
      await batcher.close();
    },
  };
}
