import { maxHoldMs, type SlotSource, silenceMs } from './slots.ts';

export interface LocalSlotsOptions {
  readonly callsPerSecond: number;
  /** False while this process can't be sure to be the only one. Default: always sure. */
  readonly isSole?: () => boolean;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

/** Slots counted in this process: right as long as it is the only caller. */
export function createLocalSlots(options: LocalSlotsOptions): SlotSource {
  const { isSole = () => true, now = () => performance.now() } = options;
  const lostListeners: (() => void)[] = [];
  let wasSole = true;
  let next = now() + silenceMs;

  return {
    async reserve(count, stretch = 1) {
      if (!isSole()) {
        if (wasSole) for (const listener of lostListeners) listener();
        wasSole = false;
        throw new Error('another process may be calling');
      }
      if (!wasSole) next = Math.max(next, now() + silenceMs);
      wasSole = true;
      const reservedAt = now();
      const first = Math.max(next, reservedAt);
      const intervalMs = (1000 / options.callsPerSecond) * stretch;
      next = first + count * intervalMs;
      return { reservedAt, firstInMs: first - reservedAt, intervalMs };
    },
    async hold(ms) {
      next = Math.max(next, now() + Math.min(ms, maxHoldMs));
    },
    onLost(listener) {
      lostListeners.push(listener);
    },
  };
}
