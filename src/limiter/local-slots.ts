import { longestPauseMs, NotExclusiveError, quietPeriodMs, type SlotSource } from './slots.ts';

interface LocalSlotsOptions {
  readonly callsPerSecond: number;
  /** False while this process can't be sure to be the only one. Default: always sure. */
  readonly isExclusive?: () => boolean;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

/** Slots counted in this process: right as long as it is the only caller. */
export function createLocalSlots(options: LocalSlotsOptions): SlotSource {
  const { isExclusive = () => true, now = () => performance.now() } = options;
  const lostListeners: (() => void)[] = [];
  let wasExclusive = true;
  let next = now() + quietPeriodMs;

  return {
    async reserve(count, slowdown = 1) {
      if (!isExclusive()) {
        if (wasExclusive) for (const listener of lostListeners) listener();
        wasExclusive = false;
        throw new NotExclusiveError('the daemon’s lock in Postgres is not confirmed');
      }
      if (!wasExclusive) next = Math.max(next, now() + quietPeriodMs);
      wasExclusive = true;
      const reservedAt = now();
      const first = Math.max(next, reservedAt);
      const intervalMs = (1000 / options.callsPerSecond) * slowdown;
      next = first + count * intervalMs;
      return { reservedAt, firstInMs: first - reservedAt, intervalMs };
    },
    async pause(ms) {
      next = Math.max(next, now() + Math.min(ms, longestPauseMs));
    },
    onLost(listener) {
      lostListeners.push(listener);
    },
  };
}
