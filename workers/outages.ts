import type { Logger } from '../src/log.ts';
import type { Part, Unready } from './readiness.ts';

/** The parts that are unavailable, and since when. Logs once when a part goes, and once when it is back. */
export interface Outages {
  begin(unready: Unready): void;
  end(part: Part): void;
  has(part: Part): boolean;
  /** The first of the parts that are unavailable. */
  worst(): { readonly part: Part; readonly cause: string; readonly seconds: number } | undefined;
  /** Seconds for which each part has been unavailable; 0 when it is available. */
  seconds(): ReadonlyMap<Part, number>;
}

export const parts: readonly Part[] = ['postgres', 'redis', 'schema'];

/** One outage looks like each of these in turn, and is one line in the log. */
const unreachable: ReadonlySet<string> = new Set([
  'away',
  'busy',
  'no_connection',
  'silent',
  'slow',
  'starting',
]);

/** Every part counts as available until it has been tried. */
export function createOutages(log: Logger): Outages {
  const since = new Map<Part, { readonly at: number; readonly cause: string }>();
  const secondsSince = (at: number) => (performance.now() - at) / 1000;
  const isAlike = (one: string, other: string) =>
    one === other || (unreachable.has(one) && unreachable.has(other));
  return {
    begin({ part, cause, sentence }) {
      const before = since.get(part);
      since.set(part, { at: before?.at ?? performance.now(), cause });
      if (before === undefined || !isAlike(before.cause, cause)) log.warn({ part, cause }, sentence);
    },
    end(part) {
      const before = since.get(part);
      if (before === undefined) return;
      since.delete(part);
      log.info({ part, seconds: Math.round(secondsSince(before.at)) }, `${part} has recovered`);
    },
    has: (part) => since.has(part),
    worst() {
      const part = parts.find((each) => since.has(each));
      const found = part && since.get(part);
      return found && { part, cause: found.cause, seconds: secondsSince(found.at) };
    },
    seconds: () =>
      new Map(
        parts.map((part) => {
          const start = since.get(part)?.at;
          return [part, start === undefined ? 0 : secondsSince(start)];
        }),
      ),
  };
}
