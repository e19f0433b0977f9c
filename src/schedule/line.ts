/**
 * The line of one app: what the policy has to know of all its accounts together.
 * Virtual time is counted in *units*; an account of weight w is polled once every 1/w units.
 */
export interface Line {
  readonly accounts: number;
  /** Sum of all weights; an account never read counts 1. A tenth off does no harm. */
  readonly weightSum: number;
  readonly callsPerSecond: number;
  readonly minIntervalSeconds: number;
  readonly maxIntervalSeconds: number;
}

/** Seconds between polls of an account that changes once a day, when the budget is plentiful (`c_min`). */
export const plentifulUnitSeconds = 60;
/** Nobody's weight is less than the average divided by this: no account waits over 2.75 round-robin cycles. */
export const kappa = 2.5;
/** The share of the budget that POLL_MAX_INTERVAL may claim before it gives way. */
export const maxIntervalShare = 0.5;

/** Real seconds that one unit of virtual time lasts at this line's budget (`c`). */
export function secondsPerUnit(line: Pick<Line, 'weightSum' | 'callsPerSecond'>): number {
  return Math.max(line.weightSum / line.callsPerSecond, plentifulUnitSeconds);
}

/**
 * POLL_MAX_INTERVAL, or what comes nearest to it within half of the budget. Bounding the share, and not the
 * weights, keeps the floor from feeding back: c rises by at most half of what the floor adds, and settles.
 */
export function effectiveMaxIntervalSeconds(line: Line): number {
  return Math.max(line.maxIntervalSeconds, line.accounts / (maxIntervalShare * line.callsPerSecond));
}

/** The least and the greatest weight an account of this line may have. */
export function weightBounds(line: Line): { readonly least: number; readonly greatest: number } {
  const unit = secondsPerUnit(line);
  const greatest = unit / line.minIntervalSeconds;
  const fair = line.accounts > 0 ? line.weightSum / (kappa * line.accounts) : 0;
  const least = Math.max(fair, unit / effectiveMaxIntervalSeconds(line));
  return { least: Math.min(least, greatest), greatest };
}

/** Virtual length of a stretch of real time. */
export function unitsOf(line: Line, seconds: number): number {
  return seconds / secondsPerUnit(line);
}

/**
 * Whether POLL_MIN_INTERVAL, and not the budget, is what keeps accounts from being read more often: the budget would
 * read everybody twice as often at least, and the average account waits less than two such intervals. Up to a minute
 * it is what the policy gives anyway.
 */
export function isHeldByMinInterval(line: Line): boolean {
  const { accounts, callsPerSecond, minIntervalSeconds, weightSum } = line;
  if (accounts === 0 || minIntervalSeconds <= plentifulUnitSeconds) return false;
  const meanInterval = (accounts * secondsPerUnit(line)) / weightSum;
  return minIntervalSeconds > (2 * accounts) / callsPerSecond && meanInterval < 2 * minIntervalSeconds;
}
