/** Counts wrong tokens by where they come from, so that nobody can go through many. */
export interface WrongTokens {
  note(address: string): void;
  /** So many wrong ones have come from there within a minute that no more are looked at. */
  tooMany(address: string): boolean;
}

const windowMs = 60_000;
const allowed = 10;
/** More addresses than this at once are taken for one. */
const addressesKept = 1000;

/** `now` gives milliseconds, monotonic. */
export function createWrongTokens(now: () => number = () => performance.now()): WrongTokens {
  const counts = new Map<string, { since: number; count: number }>();

  function current(address: string): { since: number; count: number } | undefined {
    const entry = counts.get(address);
    if (entry === undefined || now() - entry.since <= windowMs) return entry;
    counts.delete(address);
    return undefined;
  }

  const placeOf = (address: string) =>
    counts.has(address) || counts.size < addressesKept ? address : 'the crowd';

  return {
    note(address) {
      for (const known of counts.keys()) current(known);
      const place = placeOf(address);
      const entry = current(place) ?? { since: now(), count: 0 };
      entry.count += 1;
      counts.set(place, entry);
    },
    tooMany: (address) => (current(placeOf(address))?.count ?? 0) >= allowed,
  };
}
