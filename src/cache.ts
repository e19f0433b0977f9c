import { withTimeout } from './lifecycle.ts';

/** A value that is dear to read, read by one reader at a time and kept for a while. */
export interface Cache<T> {
  /** The value, at most as old as the cache allows. Rejects when it can't be read. */
  get(): Promise<T>;
  /** The last value that could be read, however old, and its age. */
  latest(): { readonly value: T; readonly ageMs: number } | undefined;
}

interface CacheOptions<T> {
  readonly read: () => Promise<T>;
  /** How long a value is kept, in milliseconds, or as a multiple of the time it took to read. */
  readonly keepMs: number;
  /** Default: twenty, so that at most a twentieth of the time goes into reading. */
  readonly timesItsCost?: number;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

const defaultTimesItsCost = 20;
/** A connection may hang for hours: then another attempt is made. */
const timeoutMs = 10_000;

/** A cache that is empty at first. */
export function createCache<T>(options: CacheOptions<T>): Cache<T> {
  const { read, keepMs, timesItsCost = defaultTimesItsCost, now = () => performance.now() } = options;
  let kept: { value: T; at: number; tookMs: number } | undefined;
  let reading: Promise<T> | undefined;

  async function refresh(): Promise<T> {
    const asked = now();
    const value = await withTimeout(timeoutMs, read());
    const at = now();
    kept = { value, at, tookMs: at - asked };
    return value;
  }

  return {
    async get() {
      if (kept !== undefined && now() - kept.at < Math.max(keepMs, kept.tookMs * timesItsCost))
        return kept.value;
      reading ??= refresh().finally(() => {
        reading = undefined;
      });
      return reading;
    },
    latest: () => (kept === undefined ? undefined : { value: kept.value, ageMs: now() - kept.at }),
  };
}
