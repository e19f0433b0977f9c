import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { MirroredGroup } from '../../db/queries/groups.ts';
import { contentHash } from '../../src/sync/content-hash.ts';
import {
  changesOf,
  countRemovals,
  diffGroups,
  type GroupDiff,
  isEmpty,
  takesAnything,
  withoutRemovals,
} from '../../src/sync/diff.ts';
import type { FriendGroup } from '../../src/tencent/wire.ts';
import { runs } from '../support/effort.ts';
import { mirrored, snapshot } from '../support/snapshots.ts';
import { testSeed } from '../support/world.ts';

const seed = testSeed();

/** Checks something of any two snapshots. */
function forAnyTwo(check: (before: readonly FriendGroup[], after: readonly FriendGroup[]) => void): void {
  fc.assert(fc.property(snapshot, snapshot, check), { seed, numRuns: runs(1000) });
}

/** Carries out a difference on a mirror in memory, as the statements do in Postgres. */
function apply(mirror: readonly MirroredGroup[], diff: GroupDiff): readonly FriendGroup[] {
  const gone = new Set(diff.removedGroups.map((group) => group.groupKey));
  const counts = new Map(diff.recounted.map((each) => [each.groupKey, each.friendNumber]));
  const stay = mirror.flatMap(({ groupKey, name, friendNumber, members }) => {
    if (gone.has(groupKey)) return [];
    const mine = (each: { readonly groupKey: number }) => each.groupKey === groupKey;
    const less = new Set(diff.removedMembers.filter(mine).map((each) => each.friendId));
    const more = diff.addedMembers.filter(mine).map((each) => each.friendId);
    return {
      name,
      friendNumber: counts.get(groupKey) ?? friendNumber,
      members: [...members.filter((friendId) => !less.has(friendId)), ...more],
    };
  });
  return [...stay, ...diff.addedGroups];
}

/** The state that a feed leads to: names with their members. */
function replay(start: readonly FriendGroup[], feed: ReturnType<typeof changesOf>) {
  const groups = asMap(start);
  for (const { kind, groupName, friendId } of feed) {
    const group = groups.get(groupName);
    if (kind === 'group_added') {
      if (group !== undefined) throw new Error(`${groupName} came twice`);
      groups.set(groupName, new Set());
    } else if (group === undefined) {
      throw new Error(`${groupName} is not there`);
    } else if (kind === 'group_removed') {
      if (group.size > 0) throw new Error(`${groupName} went with members in it`);
      groups.delete(groupName);
    } else if (kind === 'member_added') {
      if (group.has(friendId ?? '')) throw new Error(`${friendId} came twice into ${groupName}`);
      group.add(friendId ?? '');
    } else if (!group.delete(friendId ?? '')) throw new Error(`${friendId} is not in ${groupName}`);
  }
  return groups;
}

const asMap = (groups: readonly FriendGroup[]) =>
  new Map(groups.map((group) => [group.name, new Set(group.members)]));

describe('the difference between any two snapshots', () => {
  test('applied to the first gives the second, and once more changes nothing', () => {
    forAnyTwo((before, after) => {
      const mirror = mirrored(before);
      const result = apply(mirror, diffGroups(mirror, after));
      expect(contentHash(result)).toBe(contentHash(after));
      const again = diffGroups(mirrored(result), after);
      expect(isEmpty(again)).toBe(true);
      expect(changesOf(again)).toEqual([]);
    });
  });

  test('is empty only where they are equal', () => {
    forAnyTwo((before, after) => {
      expect(isEmpty(diffGroups(mirrored(before), before))).toBe(true);
      expect(isEmpty(diffGroups(mirrored(before), after))).toBe(contentHash(before) === contentHash(after));
    });
  });

  test('has a feed that leads from the first to the second, and has each change once and in order', () => {
    forAnyTwo((before, after) => {
      const feed = changesOf(diffGroups(mirrored(before), after));
      expect(replay(before, feed)).toEqual(asMap(after));
    });
  });

  test('is undone by the difference the other way round', () => {
    forAnyTwo((before, after) => {
      const there = diffGroups(mirrored(before), after);
      const back = diffGroups(mirrored(after), before);
      const turned = (kind: string) =>
        kind.endsWith('_added') ? kind.replace('_added', '_removed') : kind.replace('_removed', '_added');
      const lines = (feed: ReturnType<typeof changesOf>, name: (kind: string) => string) =>
        feed.map((change) => JSON.stringify({ ...change, kind: name(change.kind) })).toSorted();
      expect(lines(changesOf(there), (kind) => kind)).toEqual(lines(changesOf(back), turned));
    });
  });

  test('without its removals takes nothing away, and what it takes is counted', () => {
    forAnyTwo((before, after) => {
      const mirror = mirrored(before);
      const diff = diffGroups(mirror, after);
      const adding = withoutRemovals(diff, mirror);
      const grown = asMap(apply(mirror, adding));
      // No friend is counted as missing that was not before.
      const missing = new Map(
        mirror.map((group) => [group.groupKey, group.friendNumber - group.members.length]),
      );
      for (const { groupKey, friendNumber } of adding.recounted) {
        const { members = [] } = mirror.find((group) => group.groupKey === groupKey) ?? {};
        const come = adding.addedMembers.filter((member) => member.groupKey === groupKey).length;
        expect(friendNumber - members.length - come).toBe(missing.get(groupKey));
      }
      for (const { friendNumber, members } of adding.addedGroups)
        expect(friendNumber).toBeLessThanOrEqual(members.length);
      for (const groups of [asMap(before), asMap(after)])
        for (const [name, members] of groups) expect(grown.get(name)?.isSupersetOf(members)).toBe(true);
      const { groups, members } = countRemovals(diff);
      const going = changesOf(diff).filter((change) => change.kind.endsWith('_removed'));
      expect(groups + members).toBe(going.length);
      expect(takesAnything(diff)).toBe(going.length > 0);
    });
  });
});
