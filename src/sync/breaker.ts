import type { Database } from '../../db/client.ts';
import { type TripRule, tripRemovals } from '../../db/queries/held-removals.ts';
import type { Logger } from '../log.ts';

/**
 * When so many accounts shrink, something is wrong with the answers, or somebody is deleting in bulk; a person
 * has to look. Accounts that shrink wait a minute for their second read, so this is decided before any is believed.
 */
export const breakerRule: TripRule = { windowSeconds: 600, leastAccounts: 20, leastShare: 0.05 };

/** Holds all removals of an app when too many of its accounts have shrunk, and says so once. */
export async function watchRemovals(db: Database, appId: number, log: Logger): Promise<void> {
  const trip = await tripRemovals(db, appId, breakerRule);
  if (trip === undefined) return;
  log.error(
    { app: appId, shrunk: trip.shrunk, read: trip.read },
    'removals held: too many accounts shrink; look at `tim-mirror removals list`, then release or discard them',
  );
}
