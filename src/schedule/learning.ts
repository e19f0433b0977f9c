import { type Estimate, expectedChanges, type Observation } from './policy.ts';

/** By how much a sequence moved between two polls. `silent`: not at all, though the content changed. */
export const steps = ['none', 'one', 'two', 'three_or_four', 'more', 'back', 'silent'] as const;
export type Step = (typeof steps)[number];

/** What one good poll teaches: a cell of a histogram whose axes are powers of two. */
export interface CalibrationSample {
  /** Seconds since the poll before lie between 2 to this power and twice that. */
  readonly intervalLog2: number;
  /** The same of the changes that were expected meanwhile. */
  readonly expectedLog2: number;
  readonly step: Step;
  /** Changes that were expected. */
  readonly expected: number;
}

const intervalPowers = { least: 0, most: 22 } as const;
const expectedPowers = { least: -20, most: 6 } as const;

/** The sample of a poll; undefined for the first, with which nothing can be compared. */
export function calibrationSampleOf(estimate: Estimate, seen: Observation): CalibrationSample | undefined {
  const expected = expectedChanges(estimate, seen.at);
  if (expected === undefined || estimate.lastPolledAt === undefined || seen.sequenceBefore === undefined)
    return undefined;
  return {
    intervalLog2: powerOf((seen.at - estimate.lastPolledAt) / 1000, intervalPowers),
    expectedLog2: powerOf(expected, expectedPowers),
    step: stepOf(seen, seen.sequenceBefore),
    expected,
  };
}

function stepOf(seen: Observation, before: number): Step {
  const moved = seen.sequenceNow - before;
  if (!seen.changed) return 'none';
  if (moved < 0) return 'back';
  return (['silent', 'one', 'two', 'three_or_four', 'three_or_four'] as const)[moved] ?? 'more';
}

function powerOf(value: number, bounds: { readonly least: number; readonly most: number }): number {
  return Math.min(Math.max(Math.floor(Math.log2(value)), bounds.least), bounds.most);
}
