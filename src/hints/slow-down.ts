/** What the vendor's alert says of the app's calls a second; undefined where it does not say. */
interface OverLimit {
  readonly command: string | undefined;
  readonly calls: number | undefined;
  readonly limit: number | undefined;
}

const ourCommand = 'sns/group_get';
/** Kept clear of the limit, as between 190 and 200. */
const headroom = 0.95;
const leastShare = 0.5;

/**
 * To how many calls a second an alert makes us keep; undefined when it does not concern us. The vendor counts the whole
 * app and warns from four fifths of the limit on, so what it counts beyond our own budget is others' use of it: we
 * leave them that. Never under half of our rate: an alert's body is not signed, and a mistaken or a
 * forged one must not stop the mirror. Beyond that, refusals of the vendor's make every caller pause.
 */
export function slowedRate(alert: OverLimit, callsPerSecond: number): number | undefined {
  const { command, calls, limit } = alert;
  if (command !== undefined && command !== ourCommand) return undefined;
  if (calls === undefined || limit === undefined) return Math.max(1, Math.floor(callsPerSecond * leastShare));
  const others = Math.max(0, calls - callsPerSecond);
  const left = Math.min(callsPerSecond, Math.floor(limit * headroom - others));
  if (left === callsPerSecond) return undefined;
  return Math.max(1, Math.floor(callsPerSecond * leastShare), left);
}
