import type { Database } from '../../db/client.ts';
import { lockClock, storeClock, takeProbe } from '../../db/queries/apps.ts';
import { type ClaimedAccount, claimDue } from '../../db/queries/claims.ts';
import { moveClock, openClock, splitClaim } from '../schedule/virtual-clock.ts';

/**
 * A claim keeps others away from an account for this long: the most that the loss of a process, or of all queues,
 * delays a poll. Only two reads that both take all the time they may (26 s) last longer, and are dropped.
 */
export const leaseSeconds = 25;

export interface ClaimedBatch {
  readonly accounts: readonly ClaimedAccount[];
  /** The one call that finds out whether a halted app is well again. */
  readonly probe: boolean;
}

/**
 * Claims up to `places` accounts from the head of the app's line and moves its virtual clock, in one transaction.
 * Claims of one app follow each other, from however many processes. A halted app yields one account now and then.
 */
export async function claimBatches(
  db: Database,
  appId: number,
  places: number,
  random: () => number,
): Promise<ClaimedBatch> {
  return db.transaction().execute(async (trx) => {
    const stored = await lockClock(trx, appId);
    if (stored === undefined) return { accounts: [], probe: false };
    const clock = openClock({ now: stored.virtualClock, ceiling: stored.ceiling }, stored.elapsed);
    const claim = (unseen: boolean, wanted: number) =>
      claimDue(trx, {
        appId,
        unseen,
        places: wanted,
        virtualClock: clock.now,
        ceiling: clock.ceiling,
        leaseSeconds,
      });

    if (stored.halted) {
      if (!(await takeProbe(trx, appId))) return { accounts: [], probe: false };
      const known = await claim(false, 1);
      const probe = known.accounts.length > 0 ? known : await claim(true, 1);
      return { accounts: probe.accounts, probe: true };
    }
    if (places === 0) return { accounts: [], probe: false };

    // New accounts may be a crowd: those already known keep a fifth, and each side takes what the other leaves.
    const shares = splitClaim(places, random);
    const unseen = await claim(true, shares.unseen);
    const known = await claim(false, places - unseen.accounts.length);
    const crowd = unseen.accounts.length === shares.unseen;
    const rest = await claim(true, crowd ? places - unseen.accounts.length - known.accounts.length : 0);
    const accounts = [...known.accounts, ...unseen.accounts, ...rest.accounts];
    const full = accounts.length === places;
    await storeClock(trx, appId, moveClock(clock, { full, largestDue: known.largestDue }));
    return { accounts, probe: false };
  });
}
