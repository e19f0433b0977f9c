import type { Change } from '../../db/queries/groups.ts';

/** What a rename leaves the same: at least so much of the larger group's members. */
const leastOverlap = 0.8;

interface NamedMembers {
  readonly name: string;
  readonly members: readonly string[];
}

/**
 * Pairs the groups that went with those that came in the same answer and hold the same members: both share at least
 * 80 % of the larger one, and each is the other's single best match. A group without members matches nothing, and of
 * two matches that are equally good neither is chosen: a rename is never guessed.
 */
export function findRenames(
  gone: readonly NamedMembers[],
  come: readonly NamedMembers[],
): readonly { readonly from: string; readonly to: string }[] {
  const lost = gone.map((group) => new Set(group.members));
  const found = come.map((group) => new Set(group.members));
  const overlaps = lost.map((before) => found.map((after) => overlap(before, after)));
  return overlaps.flatMap((row, from) => {
    const to = singleBest(row);
    if (to === undefined || singleBest(overlaps.map((other) => other[to] ?? 0)) !== from) return [];
    return { from: gone[from]?.name ?? '', to: come[to]?.name ?? '' };
  });
}

/** The lines of the change feed for the renames in a difference; they come after those of what went and came. */
export function renamesOf(diff: {
  readonly removedGroups: readonly NamedMembers[];
  readonly addedGroups: readonly NamedMembers[];
}): readonly Change[] {
  return findRenames(diff.removedGroups, diff.addedGroups).map(({ from, to }) => ({
    kind: 'group_renamed',
    groupName: to,
    friendId: null,
    oldGroupName: from,
  }));
}

/** The shared part of the larger set; 0 where it is too small for a rename. */
function overlap(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  const larger = Math.max(a.size, b.size);
  // Sizes alone rule most pairs out, and with them most of the work at 32 groups of 3,000.
  if (Math.min(a.size, b.size) < leastOverlap * larger) return 0;
  // Counted one by one: an intersection as a set takes seven times as long.
  let shared = 0;
  for (const friendId of a) if (b.has(friendId)) shared += 1;
  const share = larger === 0 ? 0 : shared / larger;
  return share >= leastOverlap ? share : 0;
}

/** Where the greatest number is, if it is above 0 and occurs once. */
function singleBest(numbers: readonly number[]): number | undefined {
  const best = Math.max(0, ...numbers);
  const at = numbers.indexOf(best);
  return best > 0 && at === numbers.lastIndexOf(best) ? at : undefined;
}
