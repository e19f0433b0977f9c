/**
 * Consecutive moments at which one call each may be sent: the first `firstInMs` after the reservation
 * was carried out, every further one `intervalMs` later.
 */
export interface SlotReservation {
  /** When the reservation was carried out, in milliseconds of the source's own clock. */
  readonly reservedAt: number;
  readonly firstInMs: number;
  readonly intervalMs: number;
}

/** Where a token bucket gets its slots from: the one place that knows what every caller of the app has reserved. */
export interface SlotSource {
  /**
   * Reserves `count` slots that no other process has, `slowdown` times (1 or more; default 1) as far apart as usual.
   * Rejects when that can't be known at the moment.
   */
  reserve(count: number, slowdown?: number): Promise<SlotReservation>;
  /** No slot of any process lies within the next `ms` milliseconds (at most 60,000). */
  pause(ms: number): Promise<void>;
  /** Calls back when slots reserved before may have been given away a second time. */
  onLost(listener: () => void): void;
}

/** After a start, and whenever the record of past calls is missing: they may have filled the last second. */
export const quietPeriodMs = 1000;
/** The longest pause that `pause` grants; a record further ahead than this can only be a clock that jumped. */
export const longestPauseMs = 60_000;

/** This process may not be the only one at present; the health of Postgres says why. */
export class NotExclusiveError extends Error {
  override readonly name = 'NotExclusiveError';
}
