import type { Logger } from '../log.ts';
import { createFifoQueue } from './fifo-queue.ts';
import { createSlotReserver, type Slot } from './slot-reserver.ts';
import type { SlotSource } from './slots.ts';

/** Gives each caller its moment, in the order of the requests, so that an app never exceeds its calls a second. */
export interface TokenBucket {
  /** Resolves when the caller may send one call, now. Rejects when `signal` aborts first. */
  take(signal: AbortSignal): Promise<void>;
  /** No caller of any process sends for `ms` milliseconds: the vendor says that the app is over its limit. */
  pause(ms: number): Promise<void>;
  /** Lets those go whose moment has come, for callers that keep the event loop so busy that timers would be late. */
  releaseDue(): void;
  readonly stats: () => TokenBucketStats;
}

interface TokenBucketStats {
  readonly waiting: number;
  readonly taken: number;
  /** Slots that came too late to be used; each is a call that was not made. */
  readonly missed: number;
  /** Milliseconds that all callers so far have waited, together. */
  readonly waitedMs: number;
}

interface TokenBucketOptions {
  readonly slots: SlotSource;
  readonly callsPerSecond: number;
  /** The rate at present, calls a second; default: `callsPerSecond`. */
  readonly throttledTo?: () => number;
  readonly log: Logger;
  /** A slot was used, or missed, `lateMs` after its moment. */
  readonly onSlot?: (lateMs: number) => void;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

/**
 * By how many intervals a slot may be late, so that no second holds more than 3 calls over the rate: 12.6 ms at 190
 * calls a second. Twice that uses a hundredth more of a rate on a crowded machine, but 203 calls arrived in a second.
 */
const mostLateIntervals = 2.4;
/** Above 197 calls a second 3 more would be too many for the vendor. */
const mostInASecond = 200;

/** How late a slot may be used at this rate; milliseconds. */
export function latenessOf(callsPerSecond: number): number {
  const intervals = Math.min(mostLateIntervals, mostInASecond - 0.5 - callsPerSecond);
  return (intervals * 1000) / callsPerSecond;
}

/**
 * One pump over a source of slots.
 *
 * A slot that comes late would make two calls follow each other closely, and somewhere a sliding second with
 * one call too many. With slots `i` apart, each used at most `2.4 i` late, no second holds more than
 * `rate + 3` calls; so a slot later than that (a busy event loop, no free processor, a slow Redis) is missed.
 */
export function createTokenBucket(options: TokenBucketOptions): TokenBucket {
  const { slots: source, callsPerSecond, log, onSlot, now = () => performance.now() } = options;
  const { throttledTo = () => callsPerSecond } = options;
  const latenessMs = latenessOf(callsPerSecond);
  const reserver = createSlotReserver({ source, callsPerSecond, latenessMs, throttledTo, now, log });
  const queue = createFifoQueue(now);
  let slots: Slot[] = [];
  let isReserving = false;
  let timer: NodeJS.Timeout | undefined;
  let taken = 0;
  let missed = 0;
  let waitedMs = 0;

  source.onLost(() => {
    dropSlots();
    reserver.forget();
  });

  function dropSlots(): void {
    missed += slots.length;
    slots = [];
  }

  function pump(): void {
    const time = now();
    while (slots[0] !== undefined && slots[0].earliest <= time) {
      const slot = slots[0];
      const isLate = time > slot.latest;
      const since = isLate ? undefined : queue.releaseFirst();
      if (since !== undefined) {
        taken += 1;
        waitedMs += time - since;
      } else if (isLate) missed += 1;
      else break;
      slots.shift();
      onSlot?.(time - slot.earliest);
    }
    if (queue.size() === 0) return;
    // Ahead of the last slot, so that a lone process loses no time between two reservations.
    if (!isReserving && slots.length <= reserver.size() / 2) void reserveMore();
    if (slots[0] !== undefined) wakeIn(slots[0].earliest - time);
  }

  function wakeIn(ms: number): void {
    clearTimeout(timer);
    // Rounded up: a fraction would fire early.
    timer = setTimeout(pump, Math.max(1, Math.ceil(ms)));
  }

  async function reserveMore(): Promise<void> {
    const wanted = Math.min(reserver.size(), queue.size() - slots.length);
    if (wanted <= 0) return;
    const before = slots;
    isReserving = true;
    const reserved = await reserver.reserve(wanted);
    isReserving = false;
    // After a pause or a loss that came meanwhile, these may be moments at which no call is allowed any more.
    if (slots === before) slots.push(...reserved);
    pump();
  }

  return {
    take(signal) {
      const turn = queue.wait(signal);
      pump();
      return turn;
    },

    async pause(ms) {
      dropSlots();
      await source.pause(ms);
    },

    releaseDue() {
      if (slots[0] !== undefined && slots[0].earliest <= now()) pump();
    },

    stats: () => ({ waiting: queue.size(), taken, missed, waitedMs }),
  };
}
