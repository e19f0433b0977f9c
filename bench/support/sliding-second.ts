/** The most moments (milliseconds, in any order) that lie within one second. */
export function worstSecond(moments: readonly number[]): number {
  const sorted = Float64Array.from(moments).sort();
  let first = 0;
  let worst = 0;
  for (const [index, moment] of sorted.entries()) {
    while ((sorted[first] ?? moment) <= moment - 1000) first += 1;
    worst = Math.max(worst, index - first + 1);
  }
  return worst;
}

/** The longest time between two moments that follow each other, and 0 where there are fewer than two. */
export function longestGapMs(moments: readonly number[]): number {
  const sorted = Float64Array.from(moments).sort();
  return sorted.reduce(
    (longest, moment, index) => Math.max(longest, moment - (sorted[index - 1] ?? moment)),
    0,
  );
}

/** How many a second, of those from `from` up to `to`. */
export function ratePerSecond(moments: readonly number[], from: number, to: number): number {
  return (moments.filter((moment) => moment >= from && moment < to).length / (to - from)) * 1000;
}
