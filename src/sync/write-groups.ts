import type { Transaction } from 'kysely';
import type { DB } from '../../db/client.ts';
import {
  endGroups,
  endMembers,
  insertChanges,
  insertGroups,
  insertMembers,
  setFriendNumbers,
} from '../../db/queries/groups.ts';
import { changesOf, type GroupDiff } from './diff.ts';
import { renamesOf } from './find-renames.ts';

/** Whose difference is written, as of when, and at which sequence (null: the account itself is gone). */
interface WriteTarget {
  readonly appId: number;
  readonly accountKey: number;
  /** Milliseconds of Postgres' clock. */
  readonly at: number;
  readonly sequence: number | null;
}

/** Writes a difference: groups, members, history and change feed. The account must be locked. */
export async function writeGroups(trx: Transaction<DB>, target: WriteTarget, diff: GroupDiff): Promise<void> {
  const { accountKey, at } = target;
  await endMembers(trx, at, [
    ...diff.removedMembers,
    ...diff.removedGroups.flatMap(({ groupKey, members }) =>
      members.map((friendId) => ({ groupKey, friendId })),
    ),
  ]);
  await endGroups(
    trx,
    at,
    diff.removedGroups.map((group) => group.groupKey),
  );
  await setFriendNumbers(trx, diff.recounted);
  const keys = await insertGroups(trx, accountKey, at, diff.addedGroups);
  await insertMembers(trx, at, [
    ...diff.addedMembers,
    ...diff.addedGroups.flatMap((group) => {
      const groupKey = keys.get(group.name);
      if (groupKey === undefined) throw new Error('a group was inserted and did not come back');
      return group.members.map((friendId) => ({ groupKey, friendId }));
    }),
  ]);
  await insertChanges(trx, target, [...changesOf(diff), ...renamesOf(diff)]);
}
