import { setTimeout as sleep } from 'node:timers/promises';

/** Counts wrong tokens by where they come from, and slows those who try many. */
export interface WrongTokens {
  /** Notes a wrong token. True, after a wait, when ten others have come from there within a minute. */
  slowDown(address: string): Promise<boolean>;
}

/** What a test sets; the defaults are a process' own. */
interface WrongTokensOptions {
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
  readonly wait?: () => Promise<unknown>;
}

const windowMs = 60_000;
const allowed = 10;
/** More addresses than this at once are taken for one. */
const addressesKept = 1000;

/** How long an answer to one wrong token too many takes. */
const waitMs = 1000;
/** Of the 200 connections that the server takes at once, this many may wait; the others are answered at once. */
const mostWaiting = 50;

/** Counts of its own. */
export function createWrongTokens({
  now = () => performance.now(),
  wait = () => sleep(waitMs, undefined, { ref: false }),
}: WrongTokensOptions = {}): WrongTokens {
  let waiting = 0;
  const counts = new Map<string, { since: number; count: number }>();

  function current(address: string): { since: number; count: number } | undefined {
    const entry = counts.get(address);
    if (entry === undefined || now() - entry.since <= windowMs) return entry;
    counts.delete(address);
    return undefined;
  }

  const placeOf = (address: string) =>
    counts.has(address) || counts.size < addressesKept ? address : 'the crowd';

  /** Whether there were too many before. */
  function note(address: string): boolean {
    for (const known of counts.keys()) current(known);
    const place = placeOf(address);
    const entry = current(place) ?? { since: now(), count: 0 };
    entry.count += 1;
    counts.set(place, entry);
    return entry.count > allowed;
  }

  return {
    async slowDown(address) {
      if (!note(address)) return false;
      if (waiting < mostWaiting) {
        waiting += 1;
        await wait();
        waiting -= 1;
      }
      return true;
    },
  };
}
