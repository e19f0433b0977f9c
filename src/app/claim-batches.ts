import type { Database } from '../../db/client.ts';
import { lockClock, storeClock, takeProbe } from '../../db/queries/apps.ts';
import { type ClaimedAccount, type ClaimRequest, claimDue } from '../../db/queries/claims.ts';
import {
  claimLimit,
  hintedShare,
  knownShare,
  moveClock,
  openClock,
  shareOf,
} from '../schedule/virtual-clock.ts';

/**
 * How long a lease lasts. It bounds how much the loss of a process, or of all queues, delays a poll. A poll that lasts
 * longer is dropped: two reads that both take all of their time, 13 s each, or one that waits long for a slot or for memory.
 */
export const leaseSeconds = 25;

interface ClaimedBatch {
  readonly accounts: readonly ClaimedAccount[];
  /** The one call that finds out whether a halted app is well again. */
  readonly probe: boolean;
}

/**
 * Claims up to `places` accounts from the head of the app's queue and moves its virtual clock, in one transaction.
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
    const claim = (queue: ClaimRequest['queue'], wanted: number) =>
      claimDue(trx, {
        appId,
        queue,
        places: wanted,
        virtualClock: clock.now,
        ceiling: claimLimit(clock),
        leaseSeconds,
      });

    if (stored.halted) {
      if (!(await takeProbe(trx, appId))) return { accounts: [], probe: false };
      const known = await claim('known', 1);
      const probe = known.accounts.length > 0 ? known : await claim('never_polled', 1);
      return { accounts: probe.accounts, probe: true };
    }
    if (places === 0) return { accounts: [], probe: false };

    // Of those that have probably changed a tenth comes first, and the others take what the queues leave.
    const forHinted = shareOf(places, hintedShare, random);
    const hinted = await claim('hinted', forHinted);
    const free = places - hinted.accounts.length;
    // Known accounts keep a fifth, however many new ones there are, and each side takes what the other leaves.
    const forNeverPolled = free - shareOf(free, knownShare, random);
    const neverPolled = await claim('never_polled', forNeverPolled);
    const forKnown = free - neverPolled.accounts.length;
    const known = await claim('known', forKnown);
    const freePlaces = free - neverPolled.accounts.length - known.accounts.length;
    const moreNeverPolled = await claim(
      'never_polled',
      neverPolled.accounts.length === forNeverPolled ? freePlaces : 0,
    );
    // Only known accounts move the clock, and new ones must not stop it: claims would reach accounts read a moment ago.
    const full = known.accounts.length === forKnown;
    await storeClock(trx, appId, moveClock(clock, { full, largestDue: known.largestDue }));
    const placesLeft =
      hinted.accounts.length === forHinted ? freePlaces - moreNeverPolled.accounts.length : 0;
    const moreHinted = await claim('hinted', placesLeft);
    const batches = [hinted, known, neverPolled, moreNeverPolled, moreHinted];
    return { accounts: batches.flatMap(({ accounts }) => accounts), probe: false };
  });
}
