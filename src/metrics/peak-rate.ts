/** The most that happened in any sliding second of the last minute. */
interface PeakRate {
  note(): void;
  peak(): number;
}

const secondsKept = 60;
/** This many moments that are over may lie before those that count. */
const mostOver = 1000;

/** `now` gives milliseconds, monotonic. Keeps the moments of one second and a maximum for each of the last sixty. */
export function createPeakRate(now: () => number = () => performance.now()): PeakRate {
  let moments: number[] = [];
  // The moments before this one are over.
  let first = 0;
  let newest = Number.NEGATIVE_INFINITY;
  const peaks = new Map<number, number>();

  function begin(second: number): void {
    newest = second;
    for (const kept of peaks.keys()) if (kept <= second - secondsKept) peaks.delete(kept);
  }

  return {
    note() {
      const time = now();
      const second = Math.floor(time / 1000);
      if (second !== newest) begin(second);
      moments.push(time);
      while ((moments[first] ?? time) <= time - 1000) first += 1;
      if (first > mostOver) {
        moments = moments.slice(first);
        first = 0;
      }
      peaks.set(second, Math.max(peaks.get(second) ?? 0, moments.length - first));
    },
    peak() {
      begin(Math.floor(now() / 1000));
      return Math.max(0, ...peaks.values());
    },
  };
}
