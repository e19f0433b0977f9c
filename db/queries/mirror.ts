import { type Kysely, sql } from 'kysely';
import type { Database } from '../client.ts';
import type { DB } from '../schema.ts';

/** How much one app's mirror holds now. */
export interface MirrorTotals {
  readonly groups: number;
  readonly members: number;
  /** Changes ever written. */
  readonly changes: number;
}

/** Counts what an app's mirror holds. Reads it all: for small ones. */
export async function readMirrorTotals(db: Kysely<DB>, appId: number): Promise<MirrorTotals> {
  const { rows } = await sql<MirrorTotals>`
    select
      (select count(*) from tim.friend_groups where app_id = ${appId}) as groups,
      (select count(*) from tim.friend_group_members where app_id = ${appId}) as members,
      (select count(*) from tim.changes where app_id = ${appId}) as changes
  `.execute(db);
  return rows[0] ?? { groups: 0, members: 0, changes: 0 };
}

/** One group of an account, with its members in the order of their bytes. */
export interface AccountGroup {
  readonly name: string;
  /** As the vendor counts; null for the past, in which that is not kept. */
  readonly friendNumber: number | null;
  readonly addedAt: Date;
  readonly members: readonly string[];
}

/** An account's groups now, or as the mirror knew them at a moment; in the order of their names' bytes. */
export async function readAccountGroups(
  db: Database,
  appId: number,
  accountId: string,
  at?: Date,
): Promise<readonly AccountGroup[]> {
  const groups = at === undefined ? sql`tim.friend_groups` : sql`tim.friend_groups_at(${at})`;
  const members = at === undefined ? sql`tim.friend_group_members` : sql`tim.friend_group_members_at(${at})`;
  const friendNumber = at === undefined ? sql`friend_number` : sql`null::integer`;
  // In one snapshot, so that no sync comes between the two.
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (trx) => {
      const found = await sql<Omit<AccountGroup, 'members'>>`
        select group_name as name, ${friendNumber} as "friendNumber", added_at as "addedAt"
        from ${groups} where app_id = ${appId} and account_id = ${accountId} order by group_name
      `.execute(trx);
      const listed = await sql<{ name: string; friend: string }>`
        select group_name as name, friend_id as friend
        from ${members} where app_id = ${appId} and account_id = ${accountId} order by friend_id
      `.execute(trx);
      const friends = Map.groupBy(listed.rows, ({ name }) => name);
      return found.rows.map((group) => ({
        ...group,
        members: (friends.get(group.name) ?? []).map(({ friend }) => friend),
      }));
    });
}

/** Everything an app's mirror holds now, as rows in no particular order. */
interface MirrorRows {
  readonly groups: readonly (readonly [account: string, group: string, friendNumber: number])[];
  readonly members: readonly (readonly [account: string, group: string, friend: string])[];
}

/** Reads an app's mirror: of these accounts, or, for small ones, all of it. */
export async function readMirrorRows(
  db: Kysely<DB>,
  appId: number,
  accountIds?: readonly string[],
): Promise<MirrorRows> {
  const wanted = accountIds === undefined ? sql`true` : sql`account_id = any(${accountIds})`;
  const groups = await sql<{ account: string; name: string; count: number }>`
    select account_id as account, group_name as name, friend_number as count
    from tim.friend_groups where app_id = ${appId} and ${wanted}
  `.execute(db);
  const members = await sql<{ account: string; name: string; friend: string }>`
    select account_id as account, group_name as name, friend_id as friend
    from tim.friend_group_members where app_id = ${appId} and ${wanted}
  `.execute(db);
  return {
    groups: groups.rows.map(({ account, name, count }) => [account, name, count] as const),
    members: members.rows.map(({ account, name, friend }) => [account, name, friend] as const),
  };
}
