import type { Truth, TruthChange } from '../../src/simulator/truth.ts';

/** When which group and which membership was there, as the vendor knows it. Times in milliseconds since the epoch. */
export interface MembershipLog {
  /** Carries out a change and notes what came and went. */
  change(id: string, change: TruthChange): boolean;
  /** Makes an account, or takes it away with all it holds. */
  addAccount(id: string): void;
  removeAccount(id: string): void;
  /** Whether something was there without a break from `from` to `to`. */
  wasThereAllAlong(row: readonly string[], from: number, to: number): boolean;
}

interface Interval {
  readonly from: number;
  to: number;
}

/** A log that begins with what a truth holds now. */
export function createMembershipLog(truth: Truth, now: () => number = Date.now): MembershipLog {
  const intervals = new Map<string, Interval[]>();

  function rowsOf(id: string): Set<string> {
    const rows = new Set<string>();
    for (const [group, { members }] of truth.account(id)?.groups ?? []) {
      rows.add(JSON.stringify([id, group]));
      for (const member of members) rows.add(JSON.stringify([id, group, member]));
    }
    return rows;
  }

  function begin(row: string, from: number): void {
    const known = intervals.get(row);
    const interval = { from, to: Number.POSITIVE_INFINITY };
    if (known === undefined) intervals.set(row, [interval]);
    else known.push(interval);
  }

  function noting<T>(id: string, act: () => T): T {
    const before = rowsOf(id);
    const result = act();
    const after = rowsOf(id);
    const at = now();
    for (const row of before.difference(after)) {
      const last = intervals.get(row)?.at(-1);
      if (last !== undefined) last.to = at;
    }
    for (const row of after.difference(before)) begin(row, at);
    return result;
  }

  for (const id of truth.ids()) for (const row of rowsOf(id)) begin(row, Number.NEGATIVE_INFINITY);

  return {
    change: (id, change) => noting(id, () => truth.change(id, change)),
    addAccount: (id) => noting(id, () => truth.addAccount(id)),
    removeAccount: (id) => noting(id, () => truth.removeAccount(id)),
    wasThereAllAlong: (row, from, to) =>
      (intervals.get(JSON.stringify(row)) ?? []).some((interval) => interval.from < from && interval.to > to),
  };
}
