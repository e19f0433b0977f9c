import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { MirroredGroup } from '../../db/queries/groups.ts';
import { contentHash, emptyHash } from '../../src/sync/content-hash.ts';
import { changesOf, diffGroups, isEmpty } from '../../src/sync/diff.ts';
import { takesTooMuch } from '../../src/sync/guards.ts';
import type { FriendGroup } from '../../src/tencent/wire.ts';

const names = fc.constantFrom('家人', 'work', 'Work', ' work', 'Caf\u00e9', 'Cafe\u0301', '"', "'", '👨‍👩‍👧');
const members = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'A', 'ä'));
const snapshots: fc.Arbitrary<FriendGroup[]> = fc.uniqueArray(
  fc.record({ name: names, friendNumber: fc.nat(9), members }),
  { selector: (group) => group.name },
);

function mirrored(groups: readonly FriendGroup[]): MirroredGroup[] {
  return groups.map((group, index) => ({ ...group, groupKey: index + 1 }));
}

/** Carries out a difference on a mirror in memory, as the statements do in Postgres. */
function apply(mirror: readonly MirroredGroup[], truth: readonly FriendGroup[]): FriendGroup[] {
  const diff = diffGroups(mirror, truth);
  const gone = new Set(diff.removedGroups.map((group) => group.groupKey));
  const stay = mirror
    .filter((group) => !gone.has(group.groupKey))
    .map(({ groupKey, name, friendNumber, members }) => ({
      name,
      friendNumber: diff.recounted.find((each) => each.groupKey === groupKey)?.friendNumber ?? friendNumber,
      members: [
        ...members.filter(
          (friendId) =>
            !diff.removedMembers.some((each) => each.groupKey === groupKey && each.friendId === friendId),
        ),
        ...diff.addedMembers.filter((each) => each.groupKey === groupKey).map((each) => each.friendId),
      ],
    }));
  return [...stay, ...diff.addedGroups];
}

/** The state that a feed leads to: names with their members. */
function replay(start: readonly FriendGroup[], feed: ReturnType<typeof changesOf>) {
  const groups = new Map(start.map((group) => [group.name, new Set(group.members)]));
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
    } else if (kind === 'member_added') group.add(friendId ?? '');
    else if (!group.delete(friendId ?? '')) throw new Error(`${friendId} is not in ${groupName}`);
  }
  return groups;
}

const asMap = (groups: readonly FriendGroup[]) =>
  new Map(groups.map((group) => [group.name, new Set(group.members)]));

describe('the difference between two snapshots', () => {
  test('applied to the first it gives the second, and once more changes nothing', () => {
    fc.assert(
      fc.property(snapshots, snapshots, (before, after) => {
        const result = apply(mirrored(before), after);
        expect(contentHash(result)).toBe(contentHash(after));
        expect(isEmpty(diffGroups(mirrored(result), after))).toBe(true);
      }),
    );
  });

  test('its feed leads from the first to the second', () => {
    fc.assert(
      fc.property(snapshots, snapshots, (before, after) => {
        const feed = changesOf(diffGroups(mirrored(before), after));
        expect(replay(before, feed)).toEqual(asMap(after));
      }),
    );
  });

  test('between equals there is none', () => {
    fc.assert(fc.property(snapshots, (groups) => isEmpty(diffGroups(mirrored(groups), groups))));
  });
});

describe('the content hash', () => {
  test('does not mind the order in which things are told', () => {
    fc.assert(
      fc.property(snapshots, (groups) => {
        const shuffled = groups
          .toReversed()
          .map((group) => ({ ...group, members: group.members.toReversed() }));
        expect(contentHash(shuffled)).toBe(contentHash(groups));
      }),
    );
  });

  test('differs where the content differs', () => {
    fc.assert(
      fc.property(snapshots, snapshots, (a, b) => {
        const same = isEmpty(diffGroups(mirrored(a), b));
        expect(contentHash(a) === contentHash(b)).toBe(same);
      }),
    );
  });

  test('does not run texts together', () => {
    const group = (name: string, ...members: string[]) => contentHash([{ name, friendNumber: 2, members }]);
    expect(group('a', 'bc', 'd')).not.toBe(group('a', 'b', 'cd'));
    expect(group('ab', 'c', 'd')).not.toBe(group('a', 'bc', 'd'));
    expect(contentHash([])).toBe(emptyHash);
  });
});

describe('an answer that takes too much', () => {
  const friends = (count: number, from = 0) =>
    Array.from({ length: count }, (_, index) => `f${from + index}`);
  const group = (name: string, members: string[]) => ({ name, friendNumber: members.length, members });

  test.each([
    ['empties an account', [group('a', ['x'])], [], true],
    ['empties an account of empty groups', [group('a', [])], [], true],
    ['leaves groups without friends', [group('a', ['x'])], [group('a', [])], true],
    ['takes more than half of twenty', [group('a', friends(20))], [group('a', friends(9))], true],
    ['takes half of twenty', [group('a', friends(20))], [group('a', friends(10))], false],
    ['takes most of nineteen', [group('a', friends(19))], [group('a', friends(1))], false],
    ['renames a large group', [group('a', friends(50))], [group('b', friends(50))], false],
    [
      'moves everybody elsewhere',
      [group('a', friends(50)), group('b', [])],
      [group('a', []), group('b', friends(50))],
      false,
    ],
    ['replaces most friends', [group('a', friends(30))], [group('a', friends(30, 25))], true],
    ['finds nothing where nothing was', [], [], false],
  ])('%s: %#', (_, before, after, expected) => {
    expect(takesTooMuch(mirrored(before), after)).toBe(expected);
  });
});
