/** What the simulated vendor holds: the truth that a mirror is measured against. */
export interface Truth {
  /** Makes an account without groups; one that exists stays as it is. */
  addAccount(id: string): void;
  /** Forgets an account; importing it again begins with a new sequence. */
  removeAccount(id: string): void;
  has(id: string): boolean;
  ids(): readonly string[];
  account(id: string): TruthAccount | undefined;
  /** Carries out a change; returns whether it changed anything. */
  change(id: string, change: TruthChange): boolean;
  /** Sets a sequence without changing content, as a bulk import or a reset at the vendor would. */
  setSequence(id: string, sequence: number): void;
  /** Every group, and every friend in one, as rows in the order of code units; of these accounts, or of all. */
  rows(ids?: readonly string[]): TruthRows;
}

export interface TruthAccount {
  readonly sequence: number;
  readonly groups: ReadonlyMap<string, TruthGroup>;
}

export interface TruthGroup {
  readonly members: ReadonlySet<string>;
  /** The sequence at which the group last changed. */
  readonly changedAt: number;
}

/** What can happen to the groups of an account. Every one moves the sequence by one. */
export type TruthChange =
  | { readonly kind: 'add_group'; readonly group: string; readonly members?: readonly string[] | undefined }
  | { readonly kind: 'remove_group'; readonly group: string }
  | { readonly kind: 'rename_group'; readonly group: string; readonly to: string }
  | { readonly kind: 'add_members'; readonly group: string; readonly members: readonly string[] }
  | { readonly kind: 'remove_members'; readonly group: string; readonly members: readonly string[] }
  | { readonly kind: 'move_member'; readonly group: string; readonly to: string; readonly member: string }
  | { readonly kind: 'clear' };

export interface TruthRows {
  readonly groups: readonly (readonly [account: string, group: string, friendNumber: number])[];
  readonly members: readonly (readonly [account: string, group: string, friend: string])[];
}

interface Group {
  members: Set<string>;
  changedAt: number;
}

interface Account {
  sequence: number;
  groups: Map<string, Group>;
}

/** An empty truth, in memory. */
export function createTruth(): Truth {
  const accounts = new Map<string, Account>();

  function apply(account: Account, change: TruthChange, sequence: number): boolean {
    const { groups } = account;
    switch (change.kind) {
      case 'add_group':
        if (groups.has(change.group)) return false;
        groups.set(change.group, { members: new Set(change.members), changedAt: sequence });
        return true;
      case 'remove_group':
        return groups.delete(change.group);
      case 'rename_group': {
        const group = groups.get(change.group);
        if (group === undefined || groups.has(change.to)) return false;
        groups.delete(change.group);
        groups.set(change.to, { members: group.members, changedAt: sequence });
        return true;
      }
      case 'add_members':
        return touch(groups.get(change.group), sequence, (members) => {
          for (const member of change.members) members.add(member);
        });
      case 'remove_members':
        return touch(groups.get(change.group), sequence, (members) => {
          for (const member of change.members) members.delete(member);
        });
      case 'move_member': {
        const from = groups.get(change.group);
        const to = groups.get(change.to);
        if (from === undefined || to === undefined || !from.members.has(change.member)) return false;
        touch(from, sequence, (members) => members.delete(change.member));
        touch(to, sequence, (members) => members.add(change.member));
        return true;
      }
      case 'clear':
        if (groups.size === 0) return false;
        groups.clear();
        return true;
    }
  }

  return {
    addAccount(id) {
      if (!accounts.has(id)) accounts.set(id, { sequence: 0, groups: new Map() });
    },
    removeAccount(id) {
      accounts.delete(id);
    },
    has: (id) => accounts.has(id),
    ids: () => [...accounts.keys()],
    account: (id) => accounts.get(id),
    change(id, change) {
      const account = accounts.get(id);
      if (account === undefined) return false;
      const changed = apply(account, change, account.sequence + 1);
      if (changed) account.sequence += 1;
      return changed;
    },
    setSequence(id, sequence) {
      const account = accounts.get(id);
      if (account !== undefined) account.sequence = sequence;
    },
    rows(ids = [...accounts.keys()]) {
      const groups: [string, string, number][] = [];
      const members: [string, string, string][] = [];
      for (const id of ids) {
        for (const [name, group] of accounts.get(id)?.groups ?? []) {
          groups.push([id, name, group.members.size]);
          for (const member of group.members) members.push([id, name, member]);
        }
      }
      return { groups: groups.toSorted(byColumns), members: members.toSorted(byColumns) };
    },
  };
}

function touch(group: Group | undefined, sequence: number, act: (members: Set<string>) => void): boolean {
  if (group === undefined) return false;
  const before = group.members.size;
  act(group.members);
  if (group.members.size === before) return false;
  group.changedAt = sequence;
  return true;
}

function byColumns(a: readonly (string | number)[], b: readonly (string | number)[]): number {
  for (const [index, left] of a.entries()) {
    const right = b[index] ?? left;
    if (left !== right) return left < right ? -1 : 1;
  }
  return 0;
}
