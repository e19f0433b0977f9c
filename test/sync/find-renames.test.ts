import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { diffGroups } from '../../src/sync/diff.ts';
import { findRenames, renamesOf } from '../../src/sync/find-renames.ts';
import type { FriendGroup } from '../../src/tencent/wire.ts';
import { runs } from '../support/effort.ts';
import { mirrored, snapshot } from '../support/snapshots.ts';
import { testSeed } from '../support/world.ts';

const seed = testSeed();

const group = (name: string, ...members: string[]) => ({ name, friendNumber: members.length, members });
const friends = (count: number, from = 0) => Array.from({ length: count }, (_, index) => `f${from + index}`);

/** Groups of few friends under short names, so that many are alike. */
const alike = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom('家人', 'work', 'Work', 'a', 'b', 'c'),
    friendNumber: fc.constant(1),
    members: fc.uniqueArray(fc.constantFrom(...friends(7)), { maxLength: 7 }),
  }),
  { selector: ({ name }) => name, maxLength: 6 },
);

const share = (a: FriendGroup, b: FriendGroup) =>
  new Set(a.members).intersection(new Set(b.members)).size / Math.max(a.members.length, b.members.length, 1);

describe('a rename', () => {
  test.each([
    ['the same members', [group('a', 'x', 'y')], [group('b', 'x', 'y')], ['a→b']],
    ['four of five', [group('a', ...friends(5))], [group('b', ...friends(4))], ['a→b']],
    ['four of five and another', [group('a', ...friends(5))], [group('b', ...friends(5, 1))], ['a→b']],
    ['three of four', [group('a', ...friends(4))], [group('b', ...friends(3))], []],
    ['no members at all', [group('a')], [group('b')], []],
    ['half of the larger', [group('a', ...friends(5))], [group('b', ...friends(10))], []],
    ['two that it could be', [group('a', 'x')], [group('b', 'x'), group('c', 'x')], []],
    ['two that it could have been', [group('a', 'x'), group('b', 'x')], [group('c', 'x')], []],
    [
      'one that fits better',
      [group('a', ...friends(10))],
      [group('b', ...friends(9)), group('c', ...friends(10))],
      ['a→c'],
    ],
    [
      'a better match that another group fits better still',
      [group('a', ...friends(9)), group('b', ...friends(10))],
      [group('c', ...friends(10))],
      ['b→c'],
    ],
    ['two at once', [group('a', 'x'), group('b', 'y')], [group('c', 'y'), group('d', 'x')], ['a→d', 'b→c']],
    ['bytes that differ', [group('a', 'caf\u00e9')], [group('b', 'cafe\u0301')], []],
  ])('is recognised, or not, of %s', (_, gone, come, expected) => {
    expect(findRenames(gone, come).map(({ from, to }) => `${from}→${to}`)).toEqual(expected);
  });

  test('of 32 groups of 3,000 is found in the time of a read', () => {
    const all = (name: string, late: number) =>
      Array.from({ length: 32 }, (_, index) => group(`${name}${index}`, ...friends(3000, index * late)));
    const started = performance.now();
    expect(findRenames(all('a', 1), all('b', 1))).toHaveLength(32);
    expect(performance.now() - started).toBeLessThan(5000);
  });
});

describe('the renames in the difference between any two snapshots', () => {
  const check = (property: (before: readonly FriendGroup[], after: readonly FriendGroup[]) => void) =>
    fc.assert(fc.property(fc.oneof(snapshot, alike), fc.oneof(alike, snapshot), property), {
      seed,
      numRuns: runs(2000),
    });

  test('pair one that went with one that came, each once, with four fifths of the larger in common', () => {
    check((before, after) => {
      const reported = renamesOf(diffGroups(mirrored(before), after));
      const from = reported.map(({ oldGroupName }) => before.find(({ name }) => name === oldGroupName));
      const to = reported.map(({ groupName }) => after.find(({ name }) => name === groupName));
      expect(new Set(from).size).toBe(reported.length);
      expect(new Set(to).size).toBe(reported.length);
      for (const [index, old] of from.entries()) {
        const now = to[index];
        if (old === undefined || now === undefined) throw new Error('a name out of nowhere');
        expect(after.some(({ name }) => name === old.name)).toBe(false);
        expect(before.some(({ name }) => name === now.name)).toBe(false);
        expect(old.members.length).toBeGreaterThan(0);
        expect(share(old, now)).toBeGreaterThanOrEqual(0.8);
        for (const { name, ...other } of after)
          if (name !== now.name && !before.some((each) => each.name === name))
            expect(share(old, { name, ...other })).toBeLessThan(share(old, now));
      }
    });
  });

  test('are the same the other way round, and whatever the order in which groups come', () => {
    const pairs = (before: readonly FriendGroup[], after: readonly FriendGroup[]) =>
      findRenames(before, after).map(({ from, to }) => [from, to]);
    check((before, after) => {
      expect(
        pairs(after, before)
          .map(([from, to]) => [to, from])
          .toSorted(),
      ).toEqual(pairs(before, after).toSorted());
      expect(pairs(before.toReversed(), after.toReversed()).toSorted()).toEqual(
        pairs(before, after).toSorted(),
      );
    });
  });

  test('are all there when every group with members of its own gets a new name', () => {
    const own = fc.array(fc.nat(6), { maxLength: 6 });
    fc.assert(
      fc.property(own, (sizes) => {
        const named = (prefix: string) =>
          sizes.map((size, index) => group(`${prefix}${index}`, ...friends(size, index * 100)));
        const expected = sizes.flatMap((size, index) => (size > 0 ? [`a${index}→b${index}`] : []));
        const reported = findRenames(named('a'), named('b')).map(({ from, to }) => `${from}→${to}`);
        expect(reported.toSorted()).toEqual(expected.toSorted());
      }),
      { seed, numRuns: runs(300) },
    );
  });
});
