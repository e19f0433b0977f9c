import type { Database } from '../../db/client.ts';
import { holdRemovals } from '../../db/queries/held-removals.ts';
import { countRead, countShrunk, type ShrinkCounts } from '../../db/queries/shrunk-accounts.ts';
import type { Logger } from '../log.ts';

/**
 * When this many accounts shrink, something is wrong with the answers, or accounts are deleted in bulk; an operator has to
 * decide. The shortest window is the least time between two responses that confirm a removal: the breaker has seen all
 * first responses before any of them can be confirmed.
 */
const breakerRule = {
  windowsSeconds: [30, 60, 120, 300, 600],
  leastAccounts: 20,
  /** Of the distinct accounts that were read in the window. */
  leastShare: 0.05,
  /** In an app that is read slowly this many delay confirmation until enough accounts have been read. */
  doubtfulAccounts: 5,
} as const;

const leastOfFew = 3;

/** Watches how many accounts of an app shrink, for one process; all processes judge by the same rows. */
export interface RemovalBreaker {
  /** Holds all removals of the app when too many of its accounts have shrunk, and says so once. */
  watch(): Promise<void>;
  /**
   * Does the same, and returns whether a second answer may be believed whose first came this many seconds ago. It may not
   * while too few accounts have been read since to decide, and many of those have shrunk; for ten minutes at the longest.
   */
  mayBelieve(firstAgoSeconds: number): Promise<boolean>;
}

interface BreakerOptions {
  readonly db: Database;
  readonly appId: number;
  readonly log: Logger;
  /** How long a count of what was read is good for: it takes a while in a large app, and changes slowly. */
  readonly readKeptMs?: number;
}

/** A breaker that has counted nothing yet. */
export function createRemovalBreaker({ db, appId, log, readKeptMs = 3000 }: BreakerOptions): RemovalBreaker {
  let known:
    | { readonly at: number; readonly key: string; readonly read: Promise<readonly number[]> }
    | undefined;

  function readWithin(windows: readonly number[]): Promise<readonly number[]> {
    const key = windows.map(Math.round).join();
    if (known === undefined || known.key !== key || performance.now() - known.at > readKeptMs) {
      const read = countRead(db, appId, windows);
      known = { at: performance.now(), key, read };
      read.catch(() => {
        known = undefined;
      });
    }
    return known.read;
  }

  async function mayBelieve(firstAgoSeconds: number | undefined): Promise<boolean> {
    const { windowsSeconds: windows, doubtfulAccounts } = breakerRule;
    const counts = await countShrunk(db, appId, windows);
    if (counts === undefined || counts.held || counts.bypassed) return true;
    const since = windows.findIndex((seconds) => seconds >= (firstAgoSeconds ?? Number.POSITIVE_INFINITY));
    const doubtful = (counts.shrunk[since] ?? 0) >= doubtfulAccounts;
    const least = leastAccounts(counts.accounts);
    if (!doubtful && counts.shrunk.every((shrunk) => shrunk < least)) return true;

    const resolvedAgo = counts.resolvedAgo ?? Number.POSITIVE_INFINITY;
    const read = await readWithin(windows.map((seconds) => Math.min(seconds, resolvedAgo)));
    const tripped = windows.findIndex((_, at) => isTooMuch(counts, read, at, least));
    if (tripped >= 0) {
      await hold(counts.shrunk[tripped] ?? 0, read[tripped] ?? 0, windows[tripped] ?? 0);
      return true;
    }
    return !(
      doubtful &&
      isTooMuch(counts, read, since, doubtfulAccounts) &&
      (read[since] ?? 0) < counts.accounts
    );
  }

  async function hold(shrunk: number, read: number, windowSeconds: number): Promise<void> {
    if (!(await holdRemovals(db, appId, { shrunk, read, windowSeconds }))) return;
    log.error(
      { app: appId, shrunk, read, windowSeconds },
      'removals held: too many accounts shrink; look at `tim-mirror removals list`, then release or discard them',
    );
  }

  return {
    async watch() {
      await mayBelieve(undefined);
    },
    mayBelieve,
  };
}

/** In a small app a quarter of the accounts, but not fewer than three. */
function leastAccounts(accounts: number): number {
  // Not counted yet.
  if (accounts === 0) return breakerRule.leastAccounts;
  return Math.min(breakerRule.leastAccounts, Math.max(leastOfFew, Math.ceil(accounts / 4)));
}

function isTooMuch(counts: ShrinkCounts, read: readonly number[], at: number, least: number): boolean {
  const shrunk = counts.shrunk[at] ?? 0;
  return shrunk >= least && shrunk >= breakerRule.leastShare * (read[at] ?? 0);
}
