import type { ChangeLine } from '../../db/queries/changes.ts';
import { printable } from './printable.ts';

/** What a change is, in a line: `+ 家人 / bob`, `− 家人`, `~ 家人 → 亲人`. */
export function formatChange({
  kind,
  groupName,
  friendId,
  oldGroupName,
}: Pick<ChangeLine, 'kind' | 'groupName' | 'friendId' | 'oldGroupName'>): string {
  if (oldGroupName !== null) return `~ ${printable(oldGroupName)} → ${printable(groupName)}`;
  const sign = kind.endsWith('_added') ? '+' : '−';
  return `${sign} ${printable(groupName)}${friendId === null ? '' : ` / ${printable(friendId)}`}`;
}
