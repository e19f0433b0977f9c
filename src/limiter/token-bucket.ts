import type { Logger } from '../log.ts';
import { createRemoteClock } from './remote-clock.ts';
import type { SlotSource } from './slots.ts';
import { createWaitingLine } from './waiting-line.ts';

/** Gives each caller its moment, in the order of asking, so that an app never exceeds its calls a second. */
export interface TokenBucket {
  /** Resolves when the caller may send one call, now. Rejects when `signal` aborts first. */
  take(signal: AbortSignal): Promise<void>;
  /** Nobody sends for `ms` milliseconds: the vendor says that the app is over its limit. */
  hold(ms: number): Promise<void>;
  /** Lets those go whose moment has come, for whoever keeps the event loop so busy that timers would be late. */
  look(): void;
  readonly stats: () => TokenBucketStats;
}

export interface TokenBucketStats {
  readonly waiting: number;
  readonly taken: number;
  /** Slots that came too late to be used; each is a call that was not made. */
  readonly forfeited: number;
  /** Milliseconds that all callers so far have waited, together. */
  readonly waitedMs: number;
}

export interface TokenBucketOptions {
  readonly slots: SlotSource;
  readonly callsPerSecond: number;
  /** To how many calls a second the app keeps at present; default: `callsPerSecond`. */
  readonly slowedTo?: () => number;
  readonly log: Logger;
  /** A slot was used, or given up as too late, `lateMs` after its moment. */
  readonly onSlot?: (lateMs: number) => void;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

/** A reserved moment: not before `earliest`, and not after `latest`, or calls would bunch. */
interface Slot {
  readonly earliest: number;
  readonly latest: number;
}

const retryReservationMs = 250;
// How far a lot reaches: 26 ms are 5 slots at 190/s. Longer lots save reservations and lose more at a crash; where
// reservations take long, a lot must outlast one, or its slots would have passed when they come. What all processes
// have reserved must end within the second of silence that follows a lost record: 12 processes may, of the longest.
const shortestLotMs = 26;
const longestLotMs = 80;
const roundTripsKept = 32;

/**
 * By how many intervals a slot may be late, so that no second holds more than 3 calls over the rate: 12.6 ms at 190
 * calls a second. Twice that uses a hundredth more of a rate on a crowded machine, but 203 calls arrived in a second.
 */
const mostLateIntervals = 2.4;
/** Above 197 calls a second 3 more would be too many for the vendor. */
const mostInASecond = 200;

/**
 * One pump over a source of slots.
 *
 * A slot that comes late would make two calls follow each other closely, and somewhere a sliding second with
 * one call too many. With slots `i` apart, each used at most `2.4 i` late, no second holds more than
 * `rate + 3` calls; so a slot later than that (a busy event loop, no free processor, a slow Redis) is given up.
 */
export function createTokenBucket(options: TokenBucketOptions): TokenBucket {
  const { slots: source, callsPerSecond, log, onSlot, now = () => performance.now() } = options;
  const stretch = () => callsPerSecond / (options.slowedTo?.() ?? callsPerSecond);
  const lateIntervals = Math.min(mostLateIntervals, mostInASecond - 0.5 - callsPerSecond);
  const latenessMs = (lateIntervals * 1000) / callsPerSecond;
  const sourceClock = createRemoteClock();
  const line = createWaitingLine(now);
  const roundTrips: number[] = [];
  let slots: Slot[] = [];
  let reserving = false;
  let failing = false;
  let timer: NodeJS.Timeout | undefined;
  let taken = 0;
  let forfeited = 0;
  let waitedMs = 0;

  source.onLost(() => {
    forfeited += slots.length;
    slots = [];
    sourceClock.forget();
  });

  /** Slots in one reservation; one while it is not known well enough when it will be to use any. */
  function lotSize(): number {
    if (sourceClock.uncertaintyMs() > latenessMs) return 1;
    const lotMs = Math.min(longestLotMs, Math.max(shortestLotMs, 2 * Math.max(0, ...roundTrips)));
    return Math.max(1, Math.round((callsPerSecond * lotMs) / 1000));
  }

  function pump(): void {
    const time = now();
    while (slots[0] !== undefined && slots[0].earliest <= time) {
      const slot = slots[0];
      if (time > slot.latest) {
        slots.shift();
        forfeited += 1;
        onSlot?.(time - slot.earliest);
        continue;
      }
      const since = line.letGo();
      if (since === undefined) break;
      slots.shift();
      onSlot?.(time - slot.earliest);
      taken += 1;
      waitedMs += time - since;
    }
    if (line.size() === 0) return;
    // Ahead of the last slot, so that a lone process loses no time between two lots.
    if (!reserving && slots.length <= lotSize() / 2) void reserve();
    if (slots[0] !== undefined) wakeIn(slots[0].earliest - time);
  }

  function wakeIn(ms: number): void {
    clearTimeout(timer);
    // Rounded up: a fraction would fire early.
    timer = setTimeout(pump, Math.max(1, Math.ceil(ms)));
  }

  async function reserve(): Promise<void> {
    const wanted = Math.min(lotSize(), line.size() - slots.length);
    if (wanted <= 0) return;
    reserving = true;
    const asked = now();
    try {
      const reserved = await source.reserve(wanted, stretch());
      const answered = now();
      roundTrips.push(answered - asked);
      if (roundTrips.length > roundTripsKept) roundTrips.shift();
      sourceClock.note(reserved.reservedAt, asked, answered);
      for (let index = 0; index < wanted; index += 1) {
        const moment = sourceClock.locate(
          reserved.reservedAt + reserved.firstInMs + index * reserved.intervalMs,
        );
        // Never early, and never too late, wherever between the two it lies.
        slots.push({ earliest: moment.latest, latest: moment.earliest + latenessMs });
      }
      if (failing) log.info('calls go on: slots can be reserved again');
      failing = false;
      reserving = false;
      pump();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (!failing) log.warn({ reason }, 'calls wait: no slot can be reserved');
      log.debug({ err: error }, 'no slot can be reserved');
      failing = true;
      setTimeout(() => {
        reserving = false;
        pump();
      }, retryReservationMs);
    }
  }

  return {
    take(signal) {
      const turn = line.wait(signal);
      pump();
      return turn;
    },

    async hold(ms) {
      forfeited += slots.length;
      slots = [];
      await source.hold(ms);
    },

    look() {
      if (slots[0] !== undefined && slots[0].earliest <= now()) pump();
    },

    stats: () => ({ waiting: line.size(), taken, forfeited, waitedMs }),
  };
}
