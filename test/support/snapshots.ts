import fc from 'fast-check';
import type { MirroredGroup } from '../../db/queries/groups.ts';
import type { FriendGroup } from '../../src/tencent/wire.ts';

// A few that differ only in bytes, so that two snapshots have much in common; and any text at all beside them.
const anyName = fc.string({ unit: 'binary', maxLength: 8 }).filter((text) => !text.includes('\0'));
const groupName = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom('家人', 'work', 'Work', ' work', 'Caf\u00e9', 'Cafe\u0301', '"', "'", ''),
  },
  { weight: 1, arbitrary: anyName },
);
const friendId = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('a', 'b', 'c', 'd', 'A', 'ä', 'a\u0308', 'NULL', '{}') },
  { weight: 1, arbitrary: anyName },
);

/** All groups of an account at one moment. */
export const snapshot: fc.Arbitrary<readonly FriendGroup[]> = fc.uniqueArray(
  fc.record({
    name: groupName,
    // The vendor's own count need not be the number of members.
    friendNumber: fc.nat(9),
    members: fc.uniqueArray(friendId, { maxLength: 6 }),
  }),
  { selector: (group) => group.name, maxLength: 6 },
);

/** Groups as the mirror would hold them. */
export function mirrored(groups: readonly FriendGroup[]): readonly MirroredGroup[] {
  return groups.map((group, index) => ({ ...group, groupKey: index + 1 }));
}

/** The rows that the current tables hold for a snapshot of an account, as `currentRows` returns them. */
export function rowsOfSnapshot(account: string, groups: readonly FriendGroup[]): readonly string[] {
  return groups
    .flatMap(({ name, members }) => [
      JSON.stringify([account, name]),
      ...members.map((member) => JSON.stringify([account, name, member])),
    ])
    .sort();
}
