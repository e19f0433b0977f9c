import { backOff, presentRate, weightOf } from '../../../src/schedule/policy.ts';
import {
  isPresenceWorthAnything,
  logoutPauseSeconds,
  type Presence,
  rescaledDue,
} from '../../../src/schedule/presence.ts';
import { type QueueStats, secondsPerUnit, unitsOf } from '../../../src/schedule/queue-stats.ts';
import {
  claimLimit,
  hintedShare,
  hintedShareByPresence,
  knownShare,
  moveClock,
  openClock,
  shareOf,
  type VirtualClock,
} from '../../../src/schedule/virtual-clock.ts';
import { createAccountQueue } from '../account-queue.ts';
import { createDueQueue } from '../due-heap.ts';
import type { Policy, PolicyWorld } from '../policy.ts';
import { createColumns } from './columns.ts';
import { createPresenceColumns } from './presence-columns.ts';
import { createShares } from './shares.ts';

/** The daemon counts its queue once a minute. */
const countEverySeconds = 60;
const hintPauseSeconds = 5;

interface StrideOptions {
  /** The sequence shows only that something changed, not how often. */
  readonly changedOnly?: boolean;
  /** What callbacks of logins and logouts are for: nothing, hints, or presence. */
  readonly callbacks?: 'ignored' | 'hints' | 'presence';
  /** The share of changes that the backend makes. Default: it is measured. */
  readonly backendShare?: number;
}

/**
 * What the daemon does: the production functions decide, move the virtual clock and split the claims. Here are
 * only the queues, which the daemon keeps in Postgres, and the columns of an account.
 */
export function createStride(world: PolicyWorld, options: StrideOptions = {}): Policy {
  const { changedOnly = false, callbacks = 'ignored', backendShare } = options;
  const state = createState(world, backendShare);
  const polls = createPolls(state, changedOnly, callbacks === 'presence');
  const claim = createClaim(state, callbacks === 'presence');
  const policy: Policy = {
    enrol: state.enrol,
    claim(at, places, claimed) {
      if (state.count(at) && callbacks === 'presence' && state.presence.refresh(at * 1000))
        polls.reweighAll(at);
      return claim(at, places, claimed);
    },
    answered: polls.answered,
    failed: polls.failed,
  };
  if (callbacks === 'hints') policy.reported = (account, at) => state.hint(account, at, hintPauseSeconds);
  if (callbacks === 'presence') policy.reported = polls.reported;
  return policy;
}

type State = ReturnType<typeof createState>;

/** The queues and the counts of one app. */
function createState(world: PolicyWorld, backendShare: number | undefined) {
  const { size } = world;
  const columns = createColumns(size);
  const hinted = createDueQueue(size);
  const shares = createShares();
  let accounts = 0;
  let weightSum = 0;
  let queue: QueueStats = { ...world, accounts, weightSum };
  let countedAt = Number.NEGATIVE_INFINITY;
  const state = {
    world,
    columns,
    presence: createPresenceColumns(size, backendShare),
    neverPolled: createAccountQueue(size),
    known: createDueQueue(size),
    hinted,
    shares,
    clock: { now: 0, ceiling: 0 } satisfies VirtualClock as VirtualClock,
    clockMovedAt: 0,
    queue: () => queue,
    clockAt: (at: number) => state.clock.now + unitsOf(queue, at - state.clockMovedAt),

    /** Counts the queue where it is time to. Returns whether it was. */
    count(at: number): boolean {
      if (at < countedAt + countEverySeconds) return false;
      queue = { ...queue, accounts, weightSum };
      countedAt = at;
      return true;
    },

    /** Has later intervals reckon with the calls that go to accounts out of turn, and with the day's mean of a unit. */
    reckonShares(at: number): void {
      queue = {
        ...queue,
        hintedShare: shares.hinted(),
        dayUnitSeconds: shares.dayUnit(secondsPerUnit(queue), at),
      };
    },

    reweigh(account: number, weight: number): void {
      weightSum += weight - (columns.weight[account] ?? 0);
      columns.weight[account] = weight;
    },

    enrol(account: number): void {
      accounts += 1;
      state.reweigh(account, 1);
      state.neverPolled.push(account);
    },

    hint(account: number, at: number, pauseSeconds: number): void {
      const last = columns.lastPolledAt(account);
      if (last === undefined) return;
      hinted.put(account, Math.max(at, last / 1000 + pauseSeconds));
    },
  };
  return state;
}

/** Claims the head of each queue, as `claimBatches` does. */
function createClaim(state: State, byPresence: boolean) {
  const { neverPolled, known, hinted, shares, world } = state;
  return (at: number, places: number, claimed: Int32Array): number => {
    if (byPresence && isPresenceWorthAnything(state.presence.app())) state.reckonShares(at);
    state.clock = openClock(state.clock, at - state.clockMovedAt);
    state.clockMovedAt = at;
    let taken = 0;
    let largestDue: number | undefined;
    const takeHinted = (wanted: number) => {
      const before = taken;
      for (let left = wanted; left > 0 && hinted.smallestDue() <= at; left -= 1) {
        const account = hinted.pop();
        known.remove(account);
        claimed[taken] = account;
        taken += 1;
      }
      return taken - before;
    };
    const takeKnown = (wanted: number) => {
      for (let left = wanted; left > 0 && known.smallestDue() <= claimLimit(state.clock); left -= 1) {
        largestDue = Math.max(largestDue ?? Number.NEGATIVE_INFINITY, known.smallestDue());
        const account = known.pop();
        hinted.remove(account);
        claimed[taken] = account;
        taken += 1;
      }
    };
    const forHinted =
      hinted.smallestDue() <= at
        ? shareOf(places, byPresence ? hintedShareByPresence : hintedShare, world.random)
        : 0;
    const first = takeHinted(forHinted);
    const free = places - first;
    const forKnown = shareOf(free, knownShare, world.random);
    takeKnown(forKnown);
    const drained = taken - first < forKnown;
    for (let left = Math.min(places - taken, neverPolled.length); left > 0; left -= 1) {
      claimed[taken] = neverPolled.shift();
      taken += 1;
    }
    takeKnown(places - taken);
    state.clock = moveClock(state.clock, { full: !drained && taken === places, largestDue });
    const more = takeHinted(places - taken);
    shares.claimed(places, first + more);
    return taken;
  };
}

/** What polls and reports change of an account. */
function createPolls(state: State, changedOnly: boolean, byPresence: boolean) {
  const { columns, presence, known, neverPolled, world } = state;

  /** Weighs an account by the presence of its user, and moves its due time. */
  function reweigh(account: number, at: number): void {
    const estimate = columns.estimateOf(account);
    const rate = presentRate(estimate);
    if (rate === undefined || estimate.firstPolledAt === undefined) return;
    const before = columns.weight[account] ?? 0;
    const present = presence.present(account, rate, estimate.firstPolledAt, at * 1000);
    const after = weightOf(state.queue(), present);
    state.reweigh(account, after);
    const due = known.dueOf(account);
    if (!Number.isNaN(due)) known.put(account, rescaledDue(state.clockAt(at), due, before, after));
  }

  function readAtLogout(account: number, at: number, before: Presence): void {
    const estimate = columns.estimateOf(account);
    const secondsOfUnit = secondsPerUnit(state.queue());
    const dueInSeconds = (known.dueOf(account) - state.clockAt(at)) * secondsOfUnit;
    const wait = { dueInSeconds, secondsPerUnit: secondsOfUnit };
    if (presence.isWorthReading(account, before, estimate, at * 1000, wait))
      state.hint(account, at, logoutPauseSeconds);
  }

  return {
    reported(account: number, at: number, online: boolean, source: 'callback' | 'status'): void {
      const report = { at: at * 1000, online, source };
      const before = presence.report(account, report);
      const app = presence.app();
      if (before === undefined || app.blind || !isPresenceWorthAnything(app)) return;
      reweigh(account, at);
      if (!online) readAtLogout(account, at, before);
    },

    reweighAll(at: number): void {
      for (let account = 0; account < world.size; account += 1)
        if (presence.isReported(account)) reweigh(account, at);
    },

    answered(account: number, at: number, changes: number): void {
      const read = { at: at * 1000, changes: changedOnly ? Math.min(changes, 1) : changes };
      const before = columns.weight[account] ?? 0;
      const estimate = columns.estimateOf(account);
      if (byPresence) presence.polled(account, estimate, columns.observationOf(account, read));
      const present = byPresence
        ? (rate: number) => presence.present(account, rate, estimate.firstPolledAt ?? read.at, read.at)
        : undefined;
      const stride = columns.answered(account, read, state.queue(), world.random, present);
      const weight = columns.weight[account] ?? 0;
      columns.weight[account] = before;
      state.reweigh(account, weight);
      known.put(account, state.clockAt(at) + stride);
    },

    failed(account: number): void {
      const failures = (columns.failures[account] ?? 0) + 1;
      columns.failures[account] = failures;
      // An account that was never read stays in its queue, as in the daemon.
      if (columns.isNeverPolled(account)) neverPolled.push(account);
      else known.put(account, state.clock.now + backOff(state.queue(), failures, world.random));
    },
  };
}
