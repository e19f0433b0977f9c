import { type Kysely, sql } from 'kysely';
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

/** Everything an app's mirror holds now, as rows in no particular order. */
export interface MirrorRows {
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
