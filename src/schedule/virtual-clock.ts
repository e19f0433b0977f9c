import { claimEverySeconds, shortestUnitSeconds } from './queue-stats.ts';

/** An app's virtual clock, in units. Accounts are due when their due time is not beyond `ceiling`. */
export interface VirtualClock {
  readonly now: number;
  /** How far a claim may look ahead: real time allows it even when the line is short. */
  readonly ceiling: number;
}

/** How much unused time is kept: a minute, so that a pause is not followed by a burst. */
export const longestPauseSeconds = 60;

/**
 * The due time up to which a claim takes accounts: those due within half a second are nearer to this claim than to the
 * next one. Without it every interval would be half a second too long, which is much of ten.
 */
export function claimLimit(clock: VirtualClock): number {
  return clock.ceiling + claimEverySeconds / 2 / shortestUnitSeconds;
}

/** The clock before a claim, `elapsedSeconds` after the last one. Never goes back, whatever real time does. */
export function openClock(clock: VirtualClock, elapsedSeconds: number): VirtualClock {
  const allowed = clock.ceiling + Math.max(0, elapsedSeconds) / shortestUnitSeconds;
  const farthest = clock.now + longestPauseSeconds / shortestUnitSeconds;
  return { now: clock.now, ceiling: Math.max(clock.now, Math.min(allowed, farthest)) };
}

/**
 * The clock after a claim of known accounts. A full one means that the budget is what holds us back: the clock stays
 * where the line has got to. A short one means that no other account is due: the clock runs with real time, so that a
 * plentiful budget is not burnt on accounts that were read a moment ago.
 */
export function moveClock(
  clock: VirtualClock,
  claim: { readonly full: boolean; readonly largestDue: number | undefined },
): VirtualClock {
  const now = claim.full ? Math.max(clock.now, claim.largestDue ?? clock.now) : clock.ceiling;
  return { now, ceiling: clock.ceiling };
}

/** What known accounts keep of a claim while a crowd of new ones is read. */
export const knownShare = 0.2;
/**
 * What accounts that have probably changed may take of a claim before all others: however many hints come, no account
 * waits more than a ninth longer for them.
 */
export const hintedShare = 0.1;
/** The same where presence says what each of them is worth: units are reckoned without those calls, so nothing waits longer than it should. */
export const hintedShareByPresence = 0.5;

/** A share of `places`, rounded by chance: always up, it would give one side all of an app's one call a second. */
export function shareOf(places: number, share: number, random: () => number): number {
  return Math.min(places, Math.floor(places * share + random()));
}
