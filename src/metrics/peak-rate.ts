/** The most that happened in any sliding second of the last minute. */
export interface PeakRate {
  note(): void;
  peak(): number;
}

const secondsKept = 60;

/** `now` gives milliseconds, monotonic. Keeps the moments of one second and a maximum for each of the last sixty. */
export function createPeakRate(now: () => number = () => performance.now()): PeakRate {
  let moments: number[] = [];
  const peaks = new Map<number, number>();

  function forget(second: number): void {
    for (const kept of peaks.keys()) if (kept <= second - secondsKept) peaks.delete(kept);
  }

  return {
    note() {
      const time = now();
      const second = Math.floor(time / 1000);
      moments = [...moments.filter((moment) => moment > time - 1000), time];
      peaks.set(second, Math.max(peaks.get(second) ?? 0, moments.length));
      forget(second);
    },
    peak() {
      forget(Math.floor(now() / 1000));
      return Math.max(0, ...peaks.values());
    },
  };
}
