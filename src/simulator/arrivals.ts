/** Calls as they arrive, over a sliding second. */
export interface Arrivals {
  /** Notes a call; returns how many have arrived in the second that ends with it. */
  note(): number;
  readonly stats: () => ArrivalStats;
}

export interface ArrivalStats {
  readonly calls: number;
  /** The most calls in any sliding second. */
  readonly worstSecond: number;
}

/** Counts arrivals; `now` is in milliseconds, monotonic. */
export function createArrivals(now: () => number = () => performance.now()): Arrivals {
  let window: number[] = [];
  let first = 0;
  let calls = 0;
  let worstSecond = 0;

  return {
    note() {
      const time = now();
      window.push(time);
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
  };
}
