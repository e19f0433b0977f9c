import { getHeapStatistics } from 'node:v8';

/**
 * The bytes of answers that this process holds at a time, each from its first byte until it is written. Answers are
 * of any size up to megabytes, and nothing tells an account's before it is asked; without a bound, two hundred of the
 * largest would be under way a second.
 */
export interface AnswerMemory {
  /**
   * A poll's share. Undefined while there is no room for an account whose last answer was large: it is better not
   * asked at all.
   */
  open(accountKey: number): AnswerShare | undefined;
  stats(): AnswerMemoryStats;
}

/** What one poll may hold of answers. */
export interface AnswerShare {
  /**
   * An answer has so many bytes in all, as far as is known: undefined when they may come now, or a promise of it.
   * A later answer of the same poll takes the place of the one before. Rejects with NoRoomError when it has waited too long,
   * or with the reason of `signal`.
   */
  take(bytes: number, signal: AbortSignal): Promise<void> | undefined;
  /** Gives everything back. */
  close(): void;
}

export interface AnswerMemoryStats {
  readonly heldBytes: number;
  /** Answers that have begun to arrive and wait for room. */
  readonly waiting: number;
  /** Accounts whose last answer was large. */
  readonly largeAccounts: number;
}

export interface AnswerMemoryOptions {
  /** Of answers as they come, in bytes. Default: what suits the heap of this process. */
  readonly limit?: number;
  readonly patienceMs?: number;
}

/** There was no room for an answer: its account is read later. */
export class NoRoomError extends Error {
  override readonly name = 'NoRoomError';
}

/** Answers of some 1,800 friends and more; one of 300 friends has 11 kB. */
const largeBytes = 64 * 1024;
/** Large answers have this part of the memory for themselves, so that they hold no small one up. */
const shareOfLarge = 0.75;
/** What a byte of an answer takes until it is written: as text, as objects, as difference, and as rows on their way. */
const heapPerByte = 16;
/** What the rest of the daemon takes. */
const heapOfRest = 128 * 2 ** 20;
/** One of the largest answers at a time: 32 groups of 3,000 friends are 3.4 MB. */
const leastLimit = 5 * 2 ** 20;
/** Three of the largest at once. Eleven are not written sooner, and keep the event loop busy for a second. */
const mostLimit = 16 * 2 ** 20;
/** An answer that has waited for so long is given up, and its account asked again: its lease lasts 25 s. */
const defaultPatienceMs = 10_000;
/** Of which accounts it is remembered that they are large; 100,000 numbers are 8 MB. */
const mostRemembered = 100_000;

/** The bytes of answers that suit a heap of this size. */
export function answerLimit(heapBytes: number): number {
  return Math.min(mostLimit, Math.max(leastLimit, (heapBytes - heapOfRest) / heapPerByte));
}

interface Share {
  pool: Pool | undefined;
  bytes: number;
  waiter: Waiter | undefined;
}

interface Pool {
  readonly limit: number;
  readonly holders: Set<Share>;
  held: number;
}

interface Waiter {
  readonly bytes: number;
  admit(): void;
  /** Ends the waiting without an outcome. */
  leave(): void;
}

/** Memory that nothing holds yet. */
export function createAnswerMemory({
  limit = answerLimit(getHeapStatistics().heap_size_limit),
  patienceMs = defaultPatienceMs,
}: AnswerMemoryOptions = {}): AnswerMemory {
  const large: Pool = { limit: limit * shareOfLarge, holders: new Set(), held: 0 };
  const small: Pool = { limit: limit * (1 - shareOfLarge), holders: new Set(), held: 0 };
  // In the order in which they came.
  const waiting = new Set<Share>();
  const remembered = new Map<number, number>();

  const poolFor = (bytes: number) => (bytes < largeBytes ? small : large);

  const isFirst = (share: Share, pool: Pool) => pool.holders.values().next().value === share;

  /** One at least is let in, and the one that came first may grow: else some might wait for each other. */
  function fits(share: Share, bytes: number): boolean {
    const pool = poolFor(bytes);
    const others = pool.held - (share.pool === pool ? share.bytes : 0);
    return others === 0 || others + bytes <= pool.limit || isFirst(share, pool);
  }

  /** Whether a large answer has to stand behind others that wait, or the largest would wait for ever. */
  function standsBehind(share: Share, bytes: number): boolean {
    if (poolFor(bytes) !== large || bytes <= share.bytes || isFirst(share, large)) return false;
    for (const { waiter } of waiting)
      if (waiter !== undefined && poolFor(waiter.bytes) === large) return true;
    return false;
  }

  function hold(share: Share, bytes: number): void {
    const pool = poolFor(bytes);
    if (share.pool !== pool) {
      release(share);
      pool.holders.add(share);
      share.pool = pool;
    }
    pool.held += bytes - share.bytes;
    share.bytes = bytes;
  }

  function release(share: Share): void {
    if (share.pool === undefined) return;
    share.pool.holders.delete(share);
    share.pool.held -= share.bytes;
    share.pool = undefined;
    share.bytes = 0;
  }

  function admitWaiting(): void {
    let largeWaits = false;
    for (const share of waiting) {
      const { waiter } = share;
      if (waiter === undefined) continue;
      const pool = poolFor(waiter.bytes);
      const behind = pool === large && largeWaits && !isFirst(share, large);
      if (!behind && fits(share, waiter.bytes)) {
        hold(share, waiter.bytes);
        waiter.admit();
      } else if (pool === large) largeWaits = true;
    }
  }

  function remember(accountKey: number, bytes: number): void {
    remembered.delete(accountKey);
    if (bytes < largeBytes) return;
    remembered.set(accountKey, bytes);
    if (remembered.size > mostRemembered) remembered.delete(remembered.keys().next().value ?? 0);
  }

  function wait(share: Share, bytes: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        waiting.delete(share);
        share.waiter = undefined;
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
      };
      const onAbort = () => {
        leave();
        reject(signal.reason);
      };
      const timer = setTimeout(() => {
        leave();
        reject(new NoRoomError('other large answers have to be written first'));
      }, patienceMs);
      share.waiter = {
        bytes,
        leave,
        admit() {
          leave();
          resolve();
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      waiting.add(share);
    });
  }

  return {
    open(accountKey) {
      const share: Share = { pool: undefined, bytes: 0, waiter: undefined };
      const expected = remembered.get(accountKey);
      if (expected !== undefined) {
        if (waiting.size > 0 || !fits(share, expected)) return undefined;
        hold(share, expected);
      }
      return {
        take(bytes, signal) {
          remember(accountKey, bytes);
          if (standsBehind(share, bytes) || !fits(share, bytes)) return wait(share, bytes, signal);
          hold(share, bytes);
          // It may have given some back.
          admitWaiting();
          return undefined;
        },
        close() {
          share.waiter?.leave();
          if (share.pool === undefined) return;
          release(share);
          admitWaiting();
        },
      };
    },

    stats: () => ({
      heldBytes: large.held + small.held,
      waiting: waiting.size,
      largeAccounts: remembered.size,
    }),
  };
}
