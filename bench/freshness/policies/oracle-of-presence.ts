import { rescaledDue, splitRate } from '../../../src/schedule/presence.ts';
import { createDueQueue } from '../due-heap.ts';
import type { Policy, PolicyWorld } from '../policy.ts';
import { createShares } from './shares.ts';

/**
 * The oracle that knows who is online too: every account's true rate, the share of time that its user is logged in, and each
 * login and logout at once. It reads an account when its user leaves, where that is worth the price of a call.
 */
export function createOracleOfPresence(world: PolicyWorld): Policy {
  const { size, random, callsPerSecond, sessionSeconds } = world;
  const rate = Float64Array.from(world.firstRate);
  const share = Float64Array.from(world.firstShare);
  const weight = new Float64Array(size);
  const online = new Uint8Array(size);
  const unread = createUnreadTime(size);
  const due = createDueQueue(size);
  const atLogout = new Uint8Array(size);
  const shares = createShares();
  let weightSum = 0;
  let now = 0;

  // Calls at logouts leave fewer for the others, and so make each dearer.
  const secondsPerUnit = () => weightSum / callsPerSecond / (1 - shares.hinted());

  function reweigh(account: number): void {
    const before = weight[account] ?? 0;
    const split = splitRate(rate[account] ?? 0, share[account] ?? 1, world.backendShare);
    const after = Math.sqrt(online[account] === 1 ? split.online : split.offline);
    weight[account] = after;
    weightSum += after - before;
    const at = due.dueOf(account);
    if (after === 0) due.remove(account);
    else if (Number.isNaN(at)) due.put(account, now + 1 / after);
    else due.put(account, rescaledDue(now, at, before, after));
  }

  function plan(account: number): void {
    const own = weight[account] ?? 0;
    if (own > 0) due.put(account, now + 1 / own);
  }

  function isWorthReading(account: number, unreadSeconds: number): boolean {
    const own = share[account] ?? 1;
    const perDay = ((rate[account] ?? 0) * (1 - world.backendShare)) / own;
    const wait = (sessionSeconds * (1 - own)) / own;
    return unreadSeconds * wait * perDay >= secondsPerUnit() ** 2 / 2;
  }

  return {
    enrol(account) {
      reweigh(account);
      // Read once at first, online or not.
      due.put(account, now + random() / Math.max(weight[account] ?? 0, Math.sqrt(rate[account] ?? 1)));
    },
    claim(_at, places, claimed) {
      let count = 0;
      let atLogouts = 0;
      while (count < places && due.smallestDue() < Number.POSITIVE_INFINITY) {
        now = Math.max(now, due.smallestDue());
        const account = due.pop();
        atLogouts += atLogout[account] ?? 0;
        atLogout[account] = 0;
        claimed[count] = account;
        count += 1;
      }
      shares.claimed(count, atLogouts);
      return count;
    },
    answered(account, at) {
      unread.read(account, at);
      plan(account);
    },
    failed: (account) => due.put(account, now),
    rateChanged(account, changes, onlineShare) {
      rate[account] = changes;
      share[account] = onlineShare;
      reweigh(account);
    },
    reported(account, at, isOnline) {
      const leaves = online[account] === 1 && !isOnline;
      const worthIt = leaves && isWorthReading(account, unread.logout(account, at));
      if (isOnline) unread.login(account, at);
      online[account] = Number(isOnline);
      reweigh(account);
      atLogout[account] = Number(worthIt);
      if (worthIt) due.put(account, now);
    },
  };
}

/** How long users were online since their accounts were read last; seconds. */
function createUnreadTime(size: number) {
  const since = new Float64Array(size);
  const inEndedSessions = new Float64Array(size);
  return {
    login(account: number, at: number): void {
      since[account] = at;
    },
    read(account: number, at: number): void {
      since[account] = at;
      inEndedSessions[account] = 0;
    },
    /** Returns the time until this logout. */
    logout(account: number, at: number): number {
      const seconds = (inEndedSessions[account] ?? 0) + at - (since[account] ?? 0);
      inEndedSessions[account] = seconds;
      return seconds;
    },
  };
}
