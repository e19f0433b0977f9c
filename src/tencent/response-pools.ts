/** Answers of some 1,800 friends and more; one of 300 friends has 11 kB. */
const largeBytes = 64 * 1024;
/** Large answers have this part of the memory for themselves, so that they hold up no small one. */
const shareOfLarge = 0.75;

/** Whether an answer of this many bytes is one of the few large ones. */
export function isLarge(bytes: number): boolean {
  return bytes >= largeBytes;
}

/** What one poll holds. */
export interface Holding {
  pool: Pool | undefined;
  bytes: number;
}

interface Pool {
  readonly limit: number;
  readonly holders: Set<Holding>;
  held: number;
}

/** Two bounds on the bytes held: one for large answers, one for small ones. */
export interface ResponsePools {
  /** Whether `holding` may grow or shrink to `bytes` now. */
  fits(holding: Holding, bytes: number): boolean;
  /** Whether `holding` has held large answers for longer than all others. */
  isFirst(holding: Holding): boolean;
  /** Makes `holding` one of `bytes`, whether it fits or not. */
  hold(holding: Holding, bytes: number): void;
  release(holding: Holding): void;
  heldBytes(): number;
}

/** Pools of `limit` bytes together, of which nothing is held. */
export function createResponsePools(limit: number): ResponsePools {
  const large: Pool = { limit: limit * shareOfLarge, holders: new Set(), held: 0 };
  const small: Pool = { limit: limit * (1 - shareOfLarge), holders: new Set(), held: 0 };
  const poolFor = (bytes: number) => (isLarge(bytes) ? large : small);
  const isFirstOf = (pool: Pool, holding: Holding) => pool.holders.values().next().value === holding;

  function release(holding: Holding): void {
    if (holding.pool === undefined) return;
    holding.pool.holders.delete(holding);
    holding.pool.held -= holding.bytes;
    holding.pool = undefined;
    holding.bytes = 0;
  }

  return {
    // One at least is let in, and the one that came first may grow: else some might wait for each other.
    fits(holding, bytes) {
      const pool = poolFor(bytes);
      const others = pool.held - (holding.pool === pool ? holding.bytes : 0);
      return others === 0 || others + bytes <= pool.limit || isFirstOf(pool, holding);
    },
    isFirst: (holding) => isFirstOf(large, holding),
    hold(holding, bytes) {
      const pool = poolFor(bytes);
      if (holding.pool !== pool) {
        release(holding);
        pool.holders.add(holding);
        holding.pool = pool;
      }
      pool.held += bytes - holding.bytes;
      holding.bytes = bytes;
    },
    release,
    heldBytes: () => large.held + small.held,
  };
}
