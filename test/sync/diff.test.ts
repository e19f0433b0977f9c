import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { contentHash, emptyHash } from '../../src/sync/content-hash.ts';
import { diffGroups, isEmpty } from '../../src/sync/diff.ts';
import { exceedsRemovalThreshold } from '../../src/sync/doubt.ts';
import { mirrored, snapshot } from '../support/snapshots.ts';

describe('the content hash', () => {
  test('does not depend on the order in which things come', () => {
    fc.assert(
      fc.property(snapshot, (groups) => {
        const shuffled = groups
          .toReversed()
          .map((group) => ({ ...group, members: group.members.toReversed() }));
        expect(contentHash(shuffled)).toBe(contentHash(groups));
      }),
    );
  });

  test('differs where the content differs', () => {
    fc.assert(
      fc.property(snapshot, snapshot, (a, b) => {
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
      'moves all friends elsewhere',
      [group('a', friends(50)), group('b', [])],
      [group('a', []), group('b', friends(50))],
      false,
    ],
    ['replaces most friends', [group('a', friends(30))], [group('a', friends(30, 25))], true],
    ['finds nothing where nothing was', [], [], false],
  ])('%s: %#', (_, before, after, expected) => {
    expect(exceedsRemovalThreshold(mirrored(before), after)).toBe(expected);
  });
});
