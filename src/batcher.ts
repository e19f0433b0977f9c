import { setTimeout as sleep } from 'node:timers/promises';

/** Gathers items for a while and stores them together. */
interface Batcher<T> {
  add(item: T): void;
  /** Items that wait. */
  size(): number;
  /** Waits no longer for more; resolves when what waits is stored, or could not be stored. */
  close(): Promise<void>;
}

interface BatcherOptions<T> {
  /** How long a batch is gathered, in milliseconds; before every batch, or the second would hold two or three items. */
  readonly gatherMs: number;
  /** After how long what could not be stored is tried again. */
  readonly retryMs: number;
  /** Items in a batch; default: all that wait. */
  readonly mostAtOnce?: number;
  /** Stores a batch, and returns the items to store again. Must not reject. */
  readonly store: (batch: readonly T[]) => Promise<readonly T[]>;
}

/** A batcher that stores one batch at a time, the oldest items first. */
export function createBatcher<T>(options: BatcherOptions<T>): Batcher<T> {
  const { gatherMs, retryMs, mostAtOnce = Number.POSITIVE_INFINITY, store } = options;
  const closing = new AbortController();
  let waiting: T[] = [];
  let running: Promise<void> | undefined;

  async function run(): Promise<void> {
    let pauseMs = gatherMs;
    while (waiting.length > 0) {
      await sleep(pauseMs, undefined, { signal: closing.signal }).catch(() => undefined);
      const batch = waiting.slice(0, mostAtOnce);
      waiting = waiting.slice(batch.length);
      const again = await store(batch);
      if (again.length > 0 && closing.signal.aborted) break;
      waiting = [...again, ...waiting];
      pauseMs = again.length > 0 ? retryMs : gatherMs;
    }
    // In the same turn as the last look: an item that comes later starts the next run.
    running = undefined;
  }

  return {
    add(item) {
      waiting.push(item);
      running ??= run();
    },
    size: () => waiting.length,
    async close() {
      closing.abort();
      await running;
    },
  };
}
