import type { Database } from '../../db/client.ts';
import { pageSourceAccounts, readAccountIdsOf, unmarkNamed } from '../../db/queries/account-sources.ts';
import type { KeySet } from './key-set.ts';
import { removeAccounts } from './remove-accounts.ts';

/** Accounts that a source has named and names no more. */
interface Vanished {
  /** Enrolled accounts that it has named by now. */
  readonly known: number;
  readonly count: number;
  /** The first of them. */
  readonly ids: readonly string[];
  /** Such accounts that were taken out before; only their mark is left. */
  readonly takenOut: number;
}

const pageSize = 20_000;
const idsShown = 20;

/** Counts what the source names no more, going by the keys of what it does name. */
export async function findVanished(
  db: Database,
  appId: number,
  seen: KeySet,
  signal: AbortSignal,
): Promise<Vanished> {
  let [known, count, takenOut] = [0, 0, 0];
  const first: number[] = [];
  for await (const page of pages(db, appId, seen, signal)) {
    known += page.known;
    count += page.vanished.length;
    takenOut += page.takenOut.length;
    first.push(...page.vanished.slice(0, idsShown - first.length));
  }
  return { known, count, ids: await readAccountIdsOf(db, first), takenOut };
}

/**
 * Settles with what the source names no more: takes it out, if asked to, and forgets that it was named once it is out.
 * Returns how many accounts were taken out.
 */
export async function settleVanished(
  db: Database,
  appId: number,
  seen: KeySet,
  options: { readonly remove: boolean; readonly signal: AbortSignal },
): Promise<number> {
  let removed = 0;
  for await (const page of pages(db, appId, seen, options.signal)) {
    if (options.remove && page.vanished.length > 0) {
      const ids = await readAccountIdsOf(db, page.vanished);
      removed += (await removeAccounts(db, appId, ids, false)).removed.length;
      await unmarkNamed(db, page.vanished);
    }
    if (page.takenOut.length > 0) await unmarkNamed(db, page.takenOut);
  }
  return removed;
}

interface Page {
  readonly known: number;
  readonly vanished: readonly number[];
  readonly takenOut: readonly number[];
}

async function* pages(db: Database, appId: number, seen: KeySet, signal: AbortSignal): AsyncGenerator<Page> {
  for (let after = 0; ; ) {
    signal.throwIfAborted();
    const accounts = await pageSourceAccounts(db, appId, after, pageSize);
    const missing = accounts.filter(({ key }) => !seen.has(key));
    yield {
      known: accounts.filter(({ enrolled }) => enrolled).length,
      vanished: missing.filter(({ enrolled }) => enrolled).map(({ key }) => key),
      takenOut: missing.filter(({ enrolled }) => !enrolled).map(({ key }) => key),
    };
    after = accounts.at(-1)?.key ?? after;
    if (accounts.length < pageSize) return;
  }
}
