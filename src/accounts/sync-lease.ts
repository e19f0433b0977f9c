import type { Database } from '../../db/client.ts';
import { renewSourceSync, syncLeaseSeconds } from '../../db/queries/account-sources.ts';
import { repeat } from '../lifecycle.ts';

/** Keeps others from syncing the same app for as long as a sync lasts. */
interface SyncLease {
  /** Aborts when another sync has taken over, because this one could not say in time that it is alive. */
  readonly lost: AbortSignal;
  stop(): Promise<void>;
}

/** Renews the lease of a sync that has begun. */
export function keepSyncLease(db: Database, appId: number, runNo: number): SyncLease {
  const lost = new AbortController();
  const over = new AbortController();
  const renewing = repeat(
    {
      everyMs: (syncLeaseSeconds * 1000) / 3,
      signal: over.signal,
      // The sync itself soon meets what is wrong with the database, and reports it.
      onFailure: () => undefined,
    },
    async () => {
      if (!(await renewSourceSync(db, appId, runNo))) lost.abort();
    },
  );
  return {
    lost: lost.signal,
    async stop() {
      over.abort();
      await renewing;
    },
  };
}
