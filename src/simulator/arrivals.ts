/** Calls as they arrive, over a sliding second. */
export interface Arrivals {
  /** Notes a call; returns how many have certainly arrived in the second that ends with it. */
  note(): number;
  readonly stats: () => ArrivalStats;
  close(): void;
}

interface ArrivalStats {
  readonly calls: number;
  /** The most calls that certainly arrived within one sliding second. */
  readonly worstSecond: number;
}

/** Milliseconds between two notes that the process is awake. */
const beatMs = 5;

/**
 * Counts arrivals; `now` is in milliseconds, monotonic.
 *
 * A process that was held up reads calls of half a second at once. Such a call arrived at some moment between the last
 * beat but one and now, so a second counts only the calls that lie in it wherever in between they arrived.
 */
export function createArrivals(now: () => number = () => performance.now()): Arrivals {
  // For each call the earliest moment at which it may have arrived.
  let window: number[] = [];
  let first = 0;
  let calls = 0;
  let worstSecond = 0;
  let lastBeat = now();
  // After a pause the beat comes before the calls that waited: the one before it is when the pause began.
  let beatBefore = lastBeat;
  const beat = setInterval(() => {
    beatBefore = lastBeat;
    lastBeat = now();
  }, beatMs).unref();

  return {
    note() {
      const time = now();
      window.push(beatBefore);
      while ((window[first] ?? time) <= time - 1000) first += 1;
      if (first > 10_000) {
        window = window.slice(first);
        first = 0;
      }
      const within = window.length - first;
      calls += 1;
      worstSecond = Math.max(worstSecond, within);
      return within;
    },
    stats: () => ({ calls, worstSecond }),
    close: () => clearInterval(beat),
  };
}
