import type { TruthRows } from './truth.ts';

/** Rows of a mirror, in any order. */
interface RowsToCompare {
  readonly groups: readonly (readonly (string | number)[])[];
  readonly members: readonly (readonly (string | number)[])[];
}

/** Rows that only one side has, as JSON. */
export interface Differences {
  /** The vendor has it, the mirror does not. */
  readonly missing: readonly string[];
  /** The mirror has it, the vendor does not. */
  readonly invented: readonly string[];
}

/** Compares a mirror with the truth, row for row and byte for byte; also reports rows that the mirror has twice. */
export function compareWithTruth(reported: TruthRows, mirror: RowsToCompare): Differences {
  const groups = compareRows('group', reported.groups, mirror.groups);
  const members = compareRows('member', reported.members, mirror.members);
  return {
    missing: [...groups.missing, ...members.missing],
    invented: [...groups.invented, ...members.invented],
  };
}

function compareRows(
  what: string,
  truth: readonly (readonly (string | number)[])[],
  mirror: readonly (readonly (string | number)[])[],
): Differences {
  const wanted = new Set(truth.map((row) => JSON.stringify([what, ...row])));
  const invented: string[] = [];
  for (const row of mirror) {
    const key = JSON.stringify([what, ...row]);
    if (!wanted.delete(key)) invented.push(key);
  }
  return { missing: [...wanted], invented };
}
