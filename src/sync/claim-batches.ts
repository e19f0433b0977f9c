import type { Database } from '../../db/client.ts';
import { lockClock, storeClock, takeProbe } from '../../db/queries/apps.ts';
import { type Claim, type ClaimedAccount, type ClaimRequest, claimDue } from '../../db/queries/claims.ts';
import {
  hintedShare,
  knownShare,
  moveClock,
  openClock,
  shareOf,
  type VirtualClock,
} from '../schedule/virtual-clock.ts';

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
    const claim = (line: ClaimRequest['line'], wanted: number) =>
      claimDue(trx, {
        appId,
        line,
        places: wanted,
        virtualClock: clock.now,
        ceiling: clock.ceiling,
        leaseSeconds,
      });

    if (stored.halted) {
      if (!(await takeProbe(trx, appId))) return { accounts: [], probe: false };
      const known = await claim('known', 1);
      const probe = known.accounts.length > 0 ? known : await claim('unseen', 1);
      return { accounts: probe.accounts, probe: true };
    }
    if (places === 0) return { accounts: [], probe: false };

    // Of those that have probably changed a tenth comes first, and the others take what the lines leave.
    const hinted = await claim('hinted', shareOf(places, hintedShare, random));
    // New accounts may be a crowd: those already known keep a fifth, and each side takes what the other leaves.
    const free = places - hinted.accounts.length;
    const known = await claim('known', shareOf(free, knownShare, random));
    const unseen = await claim('unseen', free - known.accounts.length);
    const rest = await claim('known', free - known.accounts.length - unseen.accounts.length);
    const inLine = [...known.accounts, ...rest.accounts, ...unseen.accounts];
    await storeClock(trx, appId, clockAfter(clock, [known, rest], inLine.length === free));
    const more = await claim('hinted', free - inLine.length);
    return { accounts: [...hinted.accounts, ...inLine, ...more.accounts], probe: false };
  });
}

function clockAfter(clock: VirtualClock, known: readonly Claim[], full: boolean): VirtualClock {
  const dues = known.flatMap((claim) => claim.largestDue ?? []);
  return moveClock(clock, { full, largestDue: dues.length === 0 ? undefined : Math.max(...dues) });
}
