/**
 * The queue of one app: what the policy has to know of all its accounts together.
 * Virtual time is counted in *units*; an account of weight w is polled once every 1/w units.
 */
export interface QueueStats {
  readonly accounts: number;
  /** Sum of all weights; an account never read counts 1. A tenth off does no harm. */
  readonly weightSum: number;
  readonly callsPerSecond: number;
  readonly minIntervalSeconds: number;
  readonly maxIntervalSeconds: number;
  /** The share of calls that accounts get out of turn, because they have probably changed. Default: none. */
  readonly hintedShare?: number;
  /** What a unit lasts on average over a day, where weights follow the hour. Default: what it lasts now. */
  readonly dayUnitSeconds?: number;
}

/** Seconds between polls of an account that changes once a day, when the budget is plentiful (`c_min`). */
const plentifulUnitSeconds = 60;
/** Virtual time runs no faster: 10 % faster than weights reckon with, so that no call is left over by the floor. */
export const shortestUnitSeconds = plentifulUnitSeconds / 1.1;
/** Seconds from one claim to the next. An interval between polls is kept to within half of it. */
export const claimEverySeconds = 1;
/** The share of the budget that POLL_MAX_INTERVAL may claim before it gives way. */
const maxIntervalShare = 0.5;

/** How far the accounts that change seldom may fall behind a round robin. */
interface Floor {
  /** Round-robin rounds between two polls, before jitter. */
  readonly rounds: number;
  /** The share of an interval that chance adds or takes. */
  readonly jitter: number;
}

/** A round is short up to here, in seconds: 30,000 accounts at 190 calls a second. */
const shortRoundSeconds = 160;
/** A round is long from here on, in seconds: 300,000 accounts at 190 calls a second. */
const longRoundSeconds = 1600;
/** No account waits longer than 1.1 rounds. Lively accounts share a twentieth of the budget, and that halves the mean delay. */
const shortFloor: Floor = { rounds: 1.05, jitter: 0.03 };
/** No account waits longer than 2.75 rounds. */
const longFloor: Floor = { rounds: 2.5, jitter: 0.1 };

/** Seconds that a round robin over all accounts takes with the whole budget. */
export function roundSeconds(queue: Pick<QueueStats, 'accounts' | 'callsPerSecond'>): number {
  return queue.accounts / queue.callsPerSecond;
}

/**
 * The floor of a queue. The longer a round takes, the more a change of a lively account gains from calls that others
 * give up; between a short and a long round the floor goes with the logarithm of its length.
 */
export function floorOf(queue: Pick<QueueStats, 'accounts' | 'callsPerSecond'>): Floor {
  const place =
    Math.log(roundSeconds(queue) / shortRoundSeconds) / Math.log(longRoundSeconds / shortRoundSeconds);
  const share = Math.min(1, Math.max(0, place));
  return {
    rounds: shortFloor.rounds + share * (longFloor.rounds - shortFloor.rounds),
    jitter: shortFloor.jitter + share * (longFloor.jitter - shortFloor.jitter),
  };
}

/** Real seconds that one unit of virtual time lasts at this queue's budget (`c`). */
export function secondsPerUnit(
  queue: Pick<QueueStats, 'weightSum' | 'callsPerSecond' | 'hintedShare'>,
): number {
  const unit = Math.max(queue.weightSum / queue.callsPerSecond, shortestUnitSeconds);
  return unit / (1 - (queue.hintedShare ?? 0));
}

/**
 * POLL_MAX_INTERVAL, or what comes nearest to it within half of the budget. Bounding the share, and not the
 * weights, keeps the floor from feeding back: c rises by at most half of what the floor adds, and settles.
 */
export function effectiveMaxIntervalSeconds(queue: QueueStats): number {
  return Math.max(queue.maxIntervalSeconds, roundSeconds(queue) / maxIntervalShare);
}

/** The least and the greatest weight an account of this queue may have. */
export function weightBounds(queue: QueueStats): { readonly least: number; readonly greatest: number } {
  const unit = secondsPerUnit(queue);
  const greatest = unit / queue.minIntervalSeconds;
  // By the day's mean: at night, when few are online, a unit is short, and by it the floor would take the calls of the others.
  const reckoned = Math.max(queue.dayUnitSeconds ?? unit, plentifulUnitSeconds);
  const fair = floorOf(queue).rounds * roundSeconds(queue);
  const least = reckoned / Math.min(fair, effectiveMaxIntervalSeconds(queue));
  return { least: Math.min(least, greatest), greatest };
}

/** Virtual length of a stretch of real time. */
export function unitsOf(queue: QueueStats, seconds: number): number {
  return seconds / secondsPerUnit(queue);
}

/**
 * Whether POLL_MIN_INTERVAL, and not the budget, is what keeps the mirror old: the budget would read every account
 * twice as often at least.
 */
export function isHeldByMinInterval(queue: QueueStats): boolean {
  const { accounts, minIntervalSeconds } = queue;
  return accounts > 0 && minIntervalSeconds > 2 * roundSeconds(queue);
}
