import type { Database } from '../../db/client.ts';
import { purgeAccounts, unenrolAccounts } from '../../db/queries/accounts.ts';

/** What came of taking accounts out. */
export interface RemovalReport {
  readonly removed: readonly string[];
  readonly purged: number;
}

const chunkSize = 500;

/**
 * Takes accounts out of the mirror, in chunks, each in one transaction; with `purge` all trace of them goes too,
 * also of those taken out before.
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
    await db.transaction().execute(async (trx) => {
      removed.push(...(await unenrolAccounts(trx, appId, chunk)));
      if (purge) purged += await purgeAccounts(trx, appId, chunk);
    });
  }
  return { removed, purged };
}
