/** A share with the interval in which it lies with a probability of 95 %. */
export interface Share {
  readonly share: number;
  readonly low: number;
  readonly high: number;
}

const z95 = 1.959_964;

/** The share of `hits` among `trials`, with its Wilson interval; undefined without a trial. */
export function estimateShare(hits: number, trials: number): Share | undefined {
  if (trials === 0) return undefined;
  const share = hits / trials;
  const z2 = z95 ** 2 / trials;
  const middle = (share + z2 / 2) / (1 + z2);
  const half = (z95 / (1 + z2)) * Math.sqrt((share * (1 - share)) / trials + z2 / (4 * trials));
  return { share, low: Math.max(0, middle - half), high: Math.min(1, middle + half) };
}
