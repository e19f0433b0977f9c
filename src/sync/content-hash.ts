import { createHash } from 'node:crypto';
import type { FriendGroup } from '../tencent/wire.ts';

/**
 * A digest of what an account's groups are, in whatever order they came: 32 hex digits. Two answers with
 * the same digest name the same groups with the same members and counts.
 */
export function contentHash(groups: readonly FriendGroup[]): string {
  const hash = createHash('sha256');
  // Every text is led by its length, so that no two lists of texts run together into the same bytes.
  const put = (text: string) => {
    hash.update(`${Buffer.byteLength(text)}:`).update(text);
  };
  for (const group of groups.toSorted((a, b) => byCodeUnit(a.name, b.name))) {
    put(group.name);
    put(`${group.friendNumber},${group.members.length}`);
    for (const member of group.members.toSorted(byCodeUnit)) put(member);
  }
  return hash.digest('hex').slice(0, 32);
}

/** The digest of an account without groups. */
export const emptyHash = contentHash([]);

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
