import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../log.ts';
import { createRemoteClock } from './remote-clock.ts';
import { NotExclusiveError, type SlotSource } from './slots.ts';

/** A reserved moment of this process' clock: not before `earliest`, and not after `latest`, or calls would bunch. */
export interface Slot {
  readonly earliest: number;
  readonly latest: number;
}

/** Reserves slots at a source; its caller makes one reservation at a time. */
interface SlotReserver {
  /** How many slots one reservation takes at present. */
  size(): number;
  /** At most `count` slots. None, after a quarter of a second, when the source can't reserve. Never rejects. */
  reserve(count: number): Promise<readonly Slot[]>;
  /** What was known of the source's clock counts no more. */
  forget(): void;
}

interface SlotReserverOptions {
  readonly source: SlotSource;
  readonly callsPerSecond: number;
  /** How late a slot may be used, in milliseconds. */
  readonly latenessMs: number;
  /** The rate at present, calls a second. */
  readonly throttledTo: () => number;
  readonly now: () => number;
  readonly log: Logger;
}

const retryMs = 250;
// How far a reservation reaches: 26 ms are 5 slots at 190/s. Longer ones save requests and lose more at a crash; where
// a reservation takes long, it must outlast the next one, or its slots would have passed when they come. What all
// processes have reserved must end within the quiet second that follows a lost record: 12 processes may, of the longest.
const shortestMs = 26;
const longestMs = 80;
const roundTripsKept = 32;

/** Reserver of a source that has reserved nothing yet. */
export function createSlotReserver(options: SlotReserverOptions): SlotReserver {
  const { source, callsPerSecond, latenessMs, throttledTo, now, log } = options;
  const sourceClock = createRemoteClock();
  const roundTrips: number[] = [];
  /** Where it is logged that no slot can be reserved: here, or where the cause is known. */
  let failing: 'here' | 'elsewhere' | undefined;

  /** One while it is not known well enough when it will be to use any. */
  function size(): number {
    if (sourceClock.uncertaintyMs() > latenessMs) return 1;
    const ms = Math.min(longestMs, Math.max(shortestMs, 2 * Math.max(0, ...roundTrips)));
    return Math.max(1, Math.round((callsPerSecond * ms) / 1000));
  }

  async function request(count: number): Promise<Slot[]> {
    const requestedAt = now();
    const reserved = await source.reserve(count, callsPerSecond / throttledTo());
    const answeredAt = now();
    roundTrips.push(answeredAt - requestedAt);
    if (roundTrips.length > roundTripsKept) roundTrips.shift();
    sourceClock.note(reserved.reservedAt, requestedAt, answeredAt);
    const first = reserved.reservedAt + reserved.firstInMs;
    return Array.from({ length: count }, (_, index) => {
      const moment = sourceClock.locate(first + index * reserved.intervalMs);
      // Never early, and never too late, wherever between the two it lies.
      return { earliest: moment.latest, latest: moment.earliest + latenessMs };
    });
  }

  async function reserve(count: number): Promise<readonly Slot[]> {
    try {
      const slots = await request(count);
      if (failing !== undefined)
        log[failing === 'elsewhere' ? 'debug' : 'info']('calls go on: slots can be reserved again');
      failing = undefined;
      return slots;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const level = error instanceof NotExclusiveError ? 'debug' : 'warn';
      if (failing === undefined) log[level]({ reason }, 'calls wait: no slot can be reserved');
      log.debug({ err: error }, 'no slot can be reserved');
      failing ??= level === 'debug' ? 'elsewhere' : 'here';
      await sleep(retryMs);
      return [];
    }
  }

  return { size, reserve, forget: sourceClock.forget };
}
