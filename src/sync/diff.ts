import type { Change, ChangeKind, Membership, MirroredGroup } from '../../db/queries/groups.ts';
import type { FriendGroup } from '../tencent/wire.ts';
import { findRenames } from './find-renames.ts';

/** What Postgres' integers hold. */
const largestCount = 2_147_483_647;

/** What has to be written to turn the groups the mirror holds into those of the vendor's response. */
export interface GroupDiff {
  readonly addedGroups: readonly FriendGroup[];
  readonly removedGroups: readonly MirroredGroup[];
  /** Groups that stay, where the vendor's count differs. */
  readonly recounted: readonly { readonly groupKey: number; readonly friendNumber: number }[];
  /** In groups that stay. */
  readonly addedMembers: readonly NamedMembership[];
  readonly removedMembers: readonly NamedMembership[];
}

/** A membership with the name of its group, which the change feed reports. */
interface NamedMembership extends Membership {
  readonly groupName: string;
}

/** Compares a complete answer with the mirror. Names and ids are equal only when every byte is. */
export function diffGroups(mirror: readonly MirroredGroup[], truth: readonly FriendGroup[]): GroupDiff {
  const held = new Map(mirror.map((group) => [group.name, group]));
  const reported = new Map(truth.map((group) => [group.name, group]));
  const recounted: { groupKey: number; friendNumber: number }[] = [];
  const addedMembers: NamedMembership[] = [];
  const removedMembers: NamedMembership[] = [];

  for (const [name, group] of reported) {
    const old = held.get(name);
    if (old === undefined) continue;
    const { groupKey } = old;
    if (old.friendNumber !== group.friendNumber)
      recounted.push({ groupKey, friendNumber: group.friendNumber });
    const before = new Set(old.members);
    const after = new Set(group.members);
    for (const friendId of after.difference(before))
      addedMembers.push({ groupKey, groupName: name, friendId });
    for (const friendId of before.difference(after))
      removedMembers.push({ groupKey, groupName: name, friendId });
  }
  return {
    addedGroups: truth.filter((group) => !held.has(group.name)),
    removedGroups: mirror.filter((group) => !reported.has(group.name)),
    recounted,
    addedMembers,
    removedMembers,
  };
}

/** Whether the mirror holds already what the vendor has answered. */
export function isEmpty(diff: GroupDiff): boolean {
  return Object.values(diff).every((part) => part.length === 0);
}

/** Whether something would go. */
export function takesAnything(diff: GroupDiff): boolean {
  return diff.removedGroups.length > 0 || diff.removedMembers.length > 0;
}

/**
 * The part of a difference that only adds. A group's count grows by the friends added: `friendNumber` may exceed the
 * members only by a confirmed difference.
 */
export function withoutRemovals(diff: GroupDiff, mirror: readonly MirroredGroup[]): GroupDiff {
  const coming = Map.groupBy(diff.addedMembers, ({ groupKey }) => groupKey);
  const recounted = mirror.flatMap(({ groupKey, friendNumber }) => {
    const added = coming.get(groupKey)?.length ?? 0;
    return added === 0 ? [] : [{ groupKey, friendNumber: Math.min(friendNumber + added, largestCount) }];
  });
  const addedGroups = diff.addedGroups.map((group) => ({
    ...group,
    friendNumber: Math.min(group.friendNumber, group.members.length),
  }));
  return { ...diff, addedGroups, removedGroups: [], removedMembers: [], recounted };
}

/** How many groups and memberships would go. */
export function countRemovals(diff: GroupDiff): { readonly groups: number; readonly members: number } {
  const inGroups = diff.removedGroups.reduce((sum, group) => sum + group.members.length, 0);
  return { groups: diff.removedGroups.length, members: diff.removedMembers.length + inGroups };
}

/** How many lines of the change feed a difference makes, by kind. */
export function countChanges(diff: GroupDiff): Readonly<Record<ChangeKind, number>> {
  const going = countRemovals(diff);
  const inGroups = diff.addedGroups.reduce((sum, group) => sum + group.members.length, 0);
  return {
    group_added: diff.addedGroups.length,
    member_added: diff.addedMembers.length + inGroups,
    group_removed: going.groups,
    member_removed: going.members,
    group_renamed: findRenames(diff.removedGroups, diff.addedGroups).length,
  };
}

/** A difference in words: "+1 group, −2 members". */
export function describeDiff(diff: GroupDiff): string {
  const counts = countChanges(diff);
  const parts: readonly (readonly [number, string, string])[] = [
    [counts.group_added, '+', 'group'],
    [counts.member_added, '+', 'member'],
    [counts.group_removed, '−', 'group'],
    [counts.member_removed, '−', 'member'],
  ];
  const reported = parts
    .filter(([count]) => count > 0)
    .map(([count, sign, what]) => `${sign}${count} ${what}${count === 1 ? '' : 's'}`);
  return reported.length === 0 ? 'counts only' : reported.join(', ');
}

/** The lines of the change feed for a difference: what goes first, then what comes; members inside their group's life. */
export function changesOf(diff: GroupDiff): readonly Change[] {
  return [
    ...diff.removedMembers.map(({ groupName, friendId }) => member('member_removed', groupName, friendId)),
    ...diff.removedGroups.flatMap((group) => [
      ...group.members.map((friendId) => member('member_removed', group.name, friendId)),
      { kind: 'group_removed' as const, groupName: group.name, friendId: null },
    ]),
    ...diff.addedGroups.flatMap((group) => [
      { kind: 'group_added' as const, groupName: group.name, friendId: null },
      ...group.members.map((friendId) => member('member_added', group.name, friendId)),
    ]),
    ...diff.addedMembers.map(({ groupName, friendId }) => member('member_added', groupName, friendId)),
  ];
}

function member(kind: 'member_added' | 'member_removed', groupName: string, friendId: string): Change {
  return { kind, groupName, friendId };
}
