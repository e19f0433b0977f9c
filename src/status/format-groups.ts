import stringWidth from 'string-width';
import type { AccountGroup } from '../../db/queries/mirror.ts';
import { printable } from '../terminal/printable.ts';
import { formatTable, wrapList } from '../terminal/table.ts';

const leastMembersWidth = 24;

/** Groups and their members as a table, its lines no wider than `width` where that can be. */
export function formatGroups(groups: readonly AccountGroup[], width: number): string {
  if (groups.length === 0) return '';
  const names = groups.map(({ name }) => printable(name));
  const nameWidth = Math.max(...['group', ...names].map((name) => stringWidth(name)));
  const others = nameWidth + '  friends  0000-00-00 00:00:00Z  '.length;
  const membersWidth = Math.max(leastMembersWidth, width - others);
  const rows = groups.flatMap(({ friendNumber, addedAt, members }, index) => {
    const [first = '', ...more] = wrapList(members.map(printable), membersWidth);
    const count = String(friendNumber ?? members.length);
    return [[names[index] ?? '', count, second(addedAt), first], ...more.map((line) => ['', '', '', line])];
  });
  return formatTable(
    [{ title: 'group' }, { title: 'friends', align: 'right' }, { title: 'since' }, { title: 'members' }],
    rows,
  );
}

/** A time to the second, in UTC: `2026-11-25 13:00:00Z`. */
export function second(time: Date): string {
  return time.toISOString().replace('T', ' ').replace(/\.\d+/, '');
}
