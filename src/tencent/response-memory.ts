import { getHeapStatistics } from 'node:v8';
import { createResponsePools, type Holding, isLarge, type ResponsePools } from './response-pools.ts';

/**
 * The bytes of answers that this process holds at a time, each from its first byte until it is written. Answers are
 * of any size up to megabytes, and an account's size is not known before its first answer; without a bound, two hundred
 * of the largest would be under way a second.
 */
export interface ResponseMemory {
  /**
   * A poll's share. Undefined while there is no room for an account whose last answer was large: it is better not
   * requested at all.
   */
  open(accountKey: number): ResponseShare | undefined;
  stats(): ResponseMemoryStats;
}

/** What one poll may hold of answers. */
export interface ResponseShare {
  /**
   * An answer takes this many bytes, as far as is known: undefined when they may come now, or a promise of it.
   * A later answer of the same poll takes the place of the one before. Rejects with NoRoomError when it has waited too long,
   * or with the reason of `signal`.
   */
  take(bytes: number, signal: AbortSignal): Promise<void> | undefined;
  /** The answer is whole, and had this many bytes: what was taken beyond is given back. */
  received(bytes: number): void;
  /** Gives everything back. */
  close(): void;
}

export interface ResponseMemoryStats {
  readonly heldBytes: number;
  /** Answers that have begun to arrive and wait for room. */
  readonly waiting: number;
  /** Accounts whose last answer was large. */
  readonly largeAccounts: number;
}

interface ResponseMemoryOptions {
  /** Of answers as they come, in bytes. Default: what suits the heap of this process. */
  readonly limit?: number;
  readonly timeoutMs?: number;
}

/** There was no room for an answer: its account is read later. */
export class NoRoomError extends Error {
  override readonly name = 'NoRoomError';
}

/** What a byte of an answer takes until it is written: as text, as objects, as difference, and as rows on their way. */
const heapPerByte = 16;
/** What the rest of the daemon takes. */
const heapOfRest = 128 * 2 ** 20;
/** One of the largest answers at a time: 32 groups of 3,000 friends are 3.4 MB. */
const leastLimit = 5 * 2 ** 20;
/** Three of the largest at once. Eleven are not written sooner, and keep the event loop busy for a second. */
const mostLimit = 16 * 2 ** 20;
/** An answer that has waited for this long is given up, and its account requested again: its lease lasts 25 s. */
const defaultTimeoutMs = 10_000;
/** How many large accounts are remembered; 100,000 numbers are 8 MB. */
const mostRemembered = 100_000;

/** The bytes of answers that suit a heap of this size. */
export function responseLimit(heapBytes: number): number {
  return Math.min(mostLimit, Math.max(leastLimit, (heapBytes - heapOfRest) / heapPerByte));
}

/** Memory that nothing holds yet. */
export function createResponseMemory({
  limit = responseLimit(getHeapStatistics().heap_size_limit),
  timeoutMs = defaultTimeoutMs,
}: ResponseMemoryOptions = {}): ResponseMemory {
  const pools = createResponsePools(limit);
  const queue = createRoomQueue(pools, timeoutMs);
  const sizes = createLargeAccounts();
  return {
    open(accountKey) {
      const holding: Holding = { pool: undefined, bytes: 0 };
      const expected = sizes.get(accountKey);
      if (expected !== undefined) {
        if (queue.size() > 0 || !pools.fits(holding, expected)) return undefined;
        pools.hold(holding, expected);
      }
      return {
        take(bytes, signal) {
          sizes.remember(accountKey, bytes);
          if (queue.isBehind(holding, bytes) || !pools.fits(holding, bytes))
            return queue.wait(holding, bytes, signal);
          pools.hold(holding, bytes);
          // It may have given some back.
          queue.admit();
          return undefined;
        },
        received(bytes) {
          sizes.remember(accountKey, bytes);
          if (bytes >= holding.bytes) return;
          pools.hold(holding, bytes);
          queue.admit();
        },
        close() {
          queue.leave(holding);
          if (holding.pool === undefined) return;
          pools.release(holding);
          queue.admit();
        },
      };
    },

    stats: () => ({ heldBytes: pools.heldBytes(), waiting: queue.size(), largeAccounts: sizes.count() }),
  };
}

interface Waiter {
  readonly bytes: number;
  /** Ends the waiting without an outcome. */
  readonly leave: () => void;
  readonly resolve: () => void;
}

/** Answers that wait for room, in the order in which they came. */
function createRoomQueue(pools: ResponsePools, timeoutMs: number) {
  const waiters = new Map<Holding, Waiter>();

  /** A large answer goes behind others that wait, or the largest would wait for ever. */
  function isBehind(holding: Holding, bytes: number): boolean {
    if (!isLarge(bytes) || bytes <= holding.bytes || pools.isFirst(holding)) return false;
    for (const waiter of waiters.values()) if (isLarge(waiter.bytes)) return true;
    return false;
  }

  /** Lets those in for which there is room now. */
  function admit(): void {
    let largeWaits = false;
    for (const [holding, { bytes, leave, resolve }] of waiters) {
      const behind = isLarge(bytes) && largeWaits && !pools.isFirst(holding);
      if (!behind && pools.fits(holding, bytes)) {
        pools.hold(holding, bytes);
        leave();
        resolve();
      } else if (isLarge(bytes)) largeWaits = true;
    }
  }

  function wait(holding: Holding, bytes: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const fail = (reason: unknown) => {
      leave();
      reject(reason);
    };
    const onAbort = () => fail(signal.reason);
    const timer = setTimeout(
      () => fail(new NoRoomError('other large answers have to be written first')),
      timeoutMs,
    );
    function leave(): void {
      waiters.delete(holding);
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    }
    signal.addEventListener('abort', onAbort, { once: true });
    waiters.set(holding, { bytes, leave, resolve });
    return promise;
  }

  return {
    isBehind,
    admit,
    wait,
    leave: (holding: Holding) => waiters.get(holding)?.leave(),
    size: () => waiters.size,
  };
}

/** How long the last answers of accounts were, where they were large. The oldest is forgotten first. */
function createLargeAccounts() {
  const sizes = new Map<number, number>();
  return {
    get: (accountKey: number) => sizes.get(accountKey),
    remember(accountKey: number, bytes: number) {
      sizes.delete(accountKey);
      if (!isLarge(bytes)) return;
      sizes.set(accountKey, bytes);
      if (sizes.size > mostRemembered) sizes.delete(sizes.keys().next().value ?? 0);
    },
    count: () => sizes.size,
  };
}
