import { expect, test } from 'vitest';
import { parseMoment } from '../../bin/parse-moment.ts';
import { formatGroups } from '../../src/status/format-groups.ts';
import { formatChange } from '../../src/terminal/change-line.ts';
import { printable } from '../../src/terminal/printable.ts';
import { wrapList } from '../../src/terminal/table.ts';

const since = new Date('2026-11-25T12:00:00.999Z');
const group = (name: string, friendNumber: number | null, ...members: string[]) => ({
  ...{ name, friendNumber, members, addedAt: since },
});

test('groups are in columns as a terminal shows them, Chinese, emoji and combined letters too', () => {
  const friends = Array.from({ length: 7 }, (_, index) => `friend-${index}`);
  const groups = [
    group('家人', 2, 'x', 'y'),
    group('Cafe\u0301 👨‍👩‍👧', 100, ...friends),
    group('a\u001b[2J', null),
    group('', 0),
  ];
  expect(formatGroups(groups, 70)).toBe(
    [
      'group       friends  since                 members',
      '家人              2  2026-11-25 12:00:00Z  x, y',
      'Cafe\u0301 👨‍👩‍👧         100  2026-11-25 12:00:00Z  friend-0, friend-1,',
      '                                           friend-2, friend-3,',
      '                                           friend-4, friend-5,',
      '                                           friend-6',
      'a\\u{1b}[2J        0  2026-11-25 12:00:00Z',
      '                  0  2026-11-25 12:00:00Z',
      '',
    ].join('\n'),
  );
  expect(formatGroups([], 70)).toBe('');
});

test('a list is wrapped between its items, and an item that is too wide has a line of its own', () => {
  expect(wrapList(['aa', 'bb', '家人家人', 'c'], 6)).toEqual(['aa,', 'bb,', '家人家人,', 'c']);
  expect(wrapList(['aa', 'bb', 'c'], 7)).toEqual(['aa, bb,', 'c']);
  expect(wrapList([], 7)).toEqual(['']);
});

test('what would act on a terminal is shown, and what holds an emoji together stays', () => {
  expect(printable('\u001b[31m\r\n\u202eabc\u0000\u009b')).toBe(
    '\\u{1b}[31m\\u{d}\\u{a}\\u{202e}abc\\u{0}\\u{9b}',
  );
  for (const text of ['家人', '👨‍👩‍👧', '❤️', 'Cafe\u0301', ' a ']) expect(printable(text)).toBe(text);
});

test.each([
  ['group_added', '家人', null, null, '+ 家人'],
  ['member_added', '家人', 'bob', null, '+ 家人 / bob'],
  ['member_removed', '家人', 'bob', null, '− 家人 / bob'],
  ['group_renamed', '亲人', null, '家人', '~ 家人 → 亲人'],
])('a change of kind %s is formatted in a line', (kind, groupName, friendId, oldGroupName, expected) => {
  expect(formatChange({ kind, groupName, friendId, oldGroupName })).toBe(expected);
});

const now = new Date('2026-11-25T12:00:00Z');
test.each([
  ['2026-11-01', '2026-11-01T00:00:00.000Z'],
  ['2026-11-01 08:30', '2026-11-01T08:30:00.000Z'],
  ['2026-11-01T08:30:15.5Z', '2026-11-01T08:30:15.500Z'],
  ['2026-11-01T08:30:00+08:00', '2026-11-01T00:30:00.000Z'],
  ['2h', '2026-11-25T10:00:00.000Z'],
  ['2026-02-30', undefined],
  ['2026-13-01', undefined],
  ['2026-11-01T25:00', undefined],
  ['yesterday', undefined],
  ['', undefined],
])('%s is the moment %s', (text, expected) => {
  expect(parseMoment(text, now)?.toISOString()).toBe(expected);
});
