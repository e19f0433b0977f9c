const daySeconds = 86_400;
/** Over how many claims the share of calls out of turn is averaged: ten minutes. */
const claimsRemembered = 600;

/** Averages that the daemon keeps of an app's calls. */
export interface Shares {
  /** A claim had this many places, `hinted` of them for accounts out of turn. */
  claimed(places: number, hinted: number): void;
  /** The share of calls out of turn, at most a half. */
  hinted(): number;
  /** The mean of a day, after a unit of this length was seen at `at` seconds. */
  dayUnit(unitSeconds: number, at: number): number;
}

/** Nothing was claimed. */
export function createShares(): Shares {
  let places = 0;
  let hinted = 0;
  let units = 0;
  let weights = 0;
  let seenAt: number | undefined;
  return {
    claimed(more, ofThem) {
      const kept = 1 - 1 / claimsRemembered;
      places = places * kept + more;
      hinted = hinted * kept + ofThem;
    },
    hinted: () => (places === 0 ? 0 : Math.min(0.5, hinted / places)),
    dayUnit(unitSeconds, at) {
      const passed = Math.max(0, at - (seenAt ?? at - 1));
      seenAt = at;
      const kept = Math.exp(-passed / daySeconds);
      units = units * kept + unitSeconds * (1 - kept);
      weights = weights * kept + (1 - kept);
      return weights === 0 ? unitSeconds : units / weights;
    },
  };
}
