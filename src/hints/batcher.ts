import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../log.ts';

/** Gathers account ids from many mouths, and hands each on once. */
export interface Batcher {
  /** Takes ids in. Returns how many found no room and were forgotten. */
  add(ids: Iterable<string>): number;
  /** Stops taking ids in, and hands on what waits; resolves when that is done or has failed. */
  close(): Promise<void>;
}

export interface BatcherOptions {
  /** Does what is to be done with ids, sorted and each once. One that fails is called again with the same. */
  readonly store: (ids: readonly string[]) => Promise<void>;
  readonly log: Logger;
}

/** Ids that may wait, 32 bytes each: what the vendor can report in a second or two. */
const mostWaiting = 10_000;
const mostAtOnce = 1000;
const gatherMs = 200;
const retryMs = 2000;

/** A gatherer that stores a thousand ids a fifth of a second at most, and no more than one lot at a time. */
export function createBatcher({ store, log }: BatcherOptions): Batcher {
  const waiting = new Set<string>();
  const closing = new AbortController();
  let running: Promise<void> | undefined;

  async function run(): Promise<void> {
    let pauseMs = gatherMs;
    while (waiting.size > 0) {
      await sleep(pauseMs, undefined, { signal: closing.signal }).catch(() => undefined);
      const lot = [...waiting].slice(0, mostAtOnce);
      for (const id of lot) waiting.delete(id);
      try {
        await store(lot.toSorted());
        pauseMs = gatherMs;
      } catch (error) {
        log.debug({ err: error, accounts: lot.length }, 'hinted accounts wait for postgres');
        if (closing.signal.aborted) return;
        for (const id of lot) waiting.add(id);
        pauseMs = retryMs;
      }
    }
  }

  return {
    add(ids) {
      let forgotten = 0;
      for (const id of ids) {
        if (waiting.has(id)) continue;
        if (waiting.size >= mostWaiting || closing.signal.aborted) forgotten += 1;
        else waiting.add(id);
      }
      if (running === undefined && waiting.size > 0) {
        running = run().finally(() => {
          running = undefined;
        });
      }
      return forgotten;
    },
    async close() {
      closing.abort();
      await running;
    },
  };
}
