import { createHash } from 'node:crypto';
import type { MirroredGroup } from '../../db/queries/groups.ts';
import type { FriendGroup } from '../tencent/wire.ts';
import { contentHash } from './content-hash.ts';
import type { GroupDiff } from './diff.ts';

/**
 * Why a response must be confirmed by a second one. `removes_much`: it would empty the account, or remove more than
 * half of the friends of a large one. `unexpectedly_empty`: it is empty though the sequence moved, of an account that
 * holds nothing here. `contradicts_itself`: a group lists fewer friends than it counts, and leaves out one that the
 * mirror holds or lacks more than is known. What it leaves out may be there, so no row is removed and its sequence is
 * not stored.
 */
export type Doubt = 'removes_much' | 'unexpectedly_empty' | 'contradicts_itself';

/** What an answer is compared with. */
interface DoubtCase {
  readonly mirror: readonly MirroredGroup[];
  readonly groups: readonly FriendGroup[];
  /** The sequence of the answer, and the one stored. */
  readonly sequence: number;
  readonly storedSequence: number | null;
}

/** Below this many friends, losing half of them is an ordinary day. */
const largeAccount = 20;

/** Why an answer is in doubt; undefined when it is not. */
export function doubtOf(answer: DoubtCase): Doubt | undefined {
  if (exceedsRemovalThreshold(answer.mirror, answer.groups)) return 'removes_much';
  if (isUnexpectedlyEmpty(answer)) return 'unexpectedly_empty';
  return newlyShort(answer.mirror, answer.groups).length > 0 ? 'contradicts_itself' : undefined;
}

/**
 * Whether an answer takes so much away that it is read a second time before it is believed: it would empty the
 * account, or take more than half of the friends of a large one. Friends are counted once, however many groups
 * they are in, so renaming a group or moving friends takes nothing away.
 */
export function exceedsRemovalThreshold(
  mirror: readonly MirroredGroup[],
  truth: readonly FriendGroup[],
): boolean {
  if (mirror.length > 0 && truth.length === 0) return true;
  const before = new Set(mirror.flatMap((group) => group.members));
  const after = new Set(truth.flatMap((group) => group.members));
  if (before.size > 0 && after.size === 0) return true;
  const lost = before.difference(after).size;
  return before.size >= largeAccount && lost > before.size / 2;
}

/**
 * Whether an answer is empty though the sequence moved. The account may have had groups in between; or the answer is
 * wrongly empty, and the mirror, once at that sequence, would lack what came until the next full read.
 */
export function isUnexpectedlyEmpty(
  answer: Pick<DoubtCase, 'groups' | 'sequence' | 'storedSequence'>,
): boolean {
  return answer.groups.length === 0 && answer.sequence > 0 && answer.sequence !== answer.storedSequence;
}

/** Groups that list fewer friends than they count: of a truncated answer, or for good, when a friend's account is deleted. */
export function shortGroups(groups: readonly FriendGroup[]): readonly FriendGroup[] {
  return groups.filter((group) => group.friendNumber > group.members.length);
}

/** A group that lists fewer friends than it counts, and how that differs from what has been confirmed. */
interface NewlyShort {
  readonly name: string;
  /** How many friends are counted and not listed. */
  readonly missing: number;
  /** Friends that the mirror holds and the list leaves out. */
  readonly leftOut: readonly string[];
}

/**
 * Groups with missing members that no earlier response has confirmed. In the mirror a group counts more than it holds
 * only when that has been confirmed.
 */
function newlyShort(mirror: readonly MirroredGroup[], groups: readonly FriendGroup[]): readonly NewlyShort[] {
  const short = shortGroups(groups);
  if (short.length === 0) return [];
  const held = new Map(mirror.map((group) => [group.name, group]));
  return short
    .map(({ name, friendNumber, members }) => {
      const listed = new Set(members);
      const leftOut = (held.get(name)?.members ?? []).filter((friend) => !listed.has(friend));
      return { name, missing: friendNumber - members.length, leftOut };
    })
    .filter(({ name, missing, leftOut }) => leftOut.length > 0 || missing > missingIn(held.get(name)));
}

function missingIn(group: MirroredGroup | undefined): number {
  return group === undefined ? 0 : group.friendNumber - group.members.length;
}

/** A deleted friend account shortens many groups a little at once; small losses do not count for the breaker. */
const fewMembers = 3;
const smallShare = 0.1;

/**
 * Whether an account that is in doubt counts for the breaker. One that is emptied, or loses most of its friends, does;
 * one whose groups list fewer friends than they count does when it would lose three memberships and a tenth.
 */
export function shrinks(
  doubt: Doubt | 'gone',
  mirror: readonly MirroredGroup[],
  going: Pick<GroupDiff, 'removedGroups' | 'removedMembers'>,
): boolean {
  const lost =
    going.removedMembers.length + going.removedGroups.reduce((sum, { members }) => sum + members.length, 0);
  if (doubt !== 'contradicts_itself') return lost + going.removedGroups.length > 0;
  const held = mirror.reduce((sum, { members }) => sum + members.length, 0);
  return lost >= fewMembers && lost >= smallShare * held;
}

/** What a second answer must agree in with the first, as 48 hex digits. */
export function markOf(doubt: Doubt, { mirror, groups, sequence }: DoubtCase): string {
  switch (doubt) {
    case 'removes_much':
    case 'unexpectedly_empty':
      return contentMark(groups, sequence);
    case 'contradicts_itself':
      return shortMark(newlyShort(mirror, groups));
    default:
      return doubt satisfies never;
  }
}

/**
 * Content, and the sequence too: two empty responses at different sequences do not confirm each other.
 */
export function contentMark(groups: readonly FriendGroup[], sequence: number): string {
  return contentHash(groups) + sequence.toString(16).padStart(16, '0');
}

/** Compares only the missing members: other groups may change between two reads. */
function shortMark(short: readonly NewlyShort[]): string {
  const lines = short.map(({ name, missing, leftOut }) =>
    JSON.stringify([name, missing, leftOut.toSorted()]),
  );
  // The suffix exceeds any sequence, so this never equals the mark of a content.
  return createHash('sha256').update(lines.toSorted().join('\n')).digest('hex').slice(0, 32) + 'f'.repeat(16);
}
