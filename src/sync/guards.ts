import type { MirroredGroup } from '../../db/queries/groups.ts';
import type { FriendGroup } from '../tencent/wire.ts';

/** Below this many friends, losing half of them is an ordinary day. */
const largeAccount = 20;

/**
 * Whether an answer takes so much away that it is read a second time before it is believed: it would empty the
 * account, or take more than half of the friends of a large one. Friends are counted once, however many groups
 * they are in, so renaming a group or moving friends takes nothing away.
 */
export function takesTooMuch(mirror: readonly MirroredGroup[], truth: readonly FriendGroup[]): boolean {
  if (mirror.length > 0 && truth.length === 0) return true;
  const before = new Set(mirror.flatMap((group) => group.members));
  const after = new Set(truth.flatMap((group) => group.members));
  if (before.size > 0 && after.size === 0) return true;
  const lost = before.difference(after).size;
  return before.size >= largeAccount && lost > before.size / 2;
}
