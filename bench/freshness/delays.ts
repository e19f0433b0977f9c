/** Delays in seconds: their mean is exact, their quantiles to half a percent. */
export interface Delays {
  readonly count: number;
  readonly mean: number;
  add(seconds: number): void;
  /** The delay that `share` of them do not exceed. */
  quantile(share: number): number;
}

const shortest = 0.1;
const binsPerE = 100;
// Up to 0.1 s × e^20, a year and a half.
const bins = 20 * binsPerE;

/** No delays yet. */
export function createDelays(): Delays {
  const histogram = new Float64Array(bins + 1);
  let count = 0;
  let sum = 0;
  return {
    get count() {
      return count;
    },
    get mean() {
      return count === 0 ? 0 : sum / count;
    },
    add(seconds) {
      const bin =
        seconds <= shortest ? 0 : Math.min(bins, Math.ceil(Math.log(seconds / shortest) * binsPerE));
      histogram[bin] = (histogram[bin] ?? 0) + 1;
      count += 1;
      sum += seconds;
    },
    quantile(share) {
      let below = 0;
      for (let bin = 0; bin <= bins; bin += 1) {
        below += histogram[bin] ?? 0;
        if (below >= share * count) return shortest * Math.exp((bin - 0.5) / binsPerE);
      }
      return Number.NaN;
    },
  };
}
