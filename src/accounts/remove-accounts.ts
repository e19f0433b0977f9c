import type { Database } from '../../db/client.ts';
import { fenceAccounts, purgeAccounts, unenrolAccounts } from '../../db/queries/accounts.ts';

/** What came of taking accounts out. */
interface RemovalReport {
  readonly removed: readonly string[];
  readonly purged: number;
}

const chunkSize = 500;
/** Far longer than a chunk takes. One that takes longer all the same finds accounts claimed by others, and goes again. */
const fenceSeconds = 60;

/**
 * Takes accounts out of the mirror, in chunks; with `purge` all trace of them goes too, also of those taken out
 * before.
 */
export async function removeAccounts(
  db: Database,
  appId: number,
  ids: readonly string[],
  purge: boolean,
): Promise<RemovalReport> {
  const removed: string[] = [];
  let purged = 0;
  for (let start = 0; start < ids.length; start += chunkSize) {
    const chunk = ids.slice(start, start + chunkSize);
    removed.push(...(await takeOut(db, appId, chunk)));
    if (purge) purged += await db.transaction().execute((trx) => purgeAccounts(trx, appId, chunk));
  }
  return { removed, purged };
}

async function takeOut(db: Database, appId: number, ids: readonly string[]): Promise<readonly string[]> {
  const removed: string[] = [];
  for (;;) {
    const fenced = await fenceAccounts(db, appId, ids, fenceSeconds);
    if (fenced.length === 0) return removed;
    removed.push(...(await db.transaction().execute((trx) => unenrolAccounts(trx, appId, fenced))));
  }
}
