import { sql } from 'kysely';
import type { Database } from '../../db/client.ts';

/**
 * The memberships and groups that a replay of the change feed from its start leads to, as sorted JSON rows. A rename
 * is in the feed beside the removal and the addition that it is, and replays nothing. Up to a moment, as Postgres writes it, or to the end.
 */
export async function replayFeed(db: Database, until = 'infinity'): Promise<readonly string[]> {
  const { rows } = await sql<{ account: string; kind: string; group: string; friend: string | null }>`
    select account_id as account, kind, group_name as "group", friend_id as friend
    from tim.changes where kind <> 'group_renamed' and observed_at <= ${until}::timestamptz order by tx_id, change_id
  `.execute(db);
  const held = new Set<string>();
  for (const { account, kind, group, friend } of rows) {
    const row = JSON.stringify(friend === null ? [account, group] : [account, group, friend]);
    const there = held.has(row);
    if (kind.endsWith('_added') === there) throw new Error(`the feed reports ${kind} of ${row} out of turn`);
    if (there) held.delete(row);
    else held.add(row);
  }
  return [...held].sort();
}

/** What the current tables hold, in the same form. */
export async function currentRows(db: Database): Promise<readonly string[]> {
  const { rows } = await sql<{ row: string[] }>`
    select array[account_id, group_name] as row from tim.friend_groups
    union all
    select array[account_id, group_name, friend_id] from tim.friend_group_members
  `.execute(db);
  return rows.map(({ row }) => JSON.stringify(row)).sort();
}

/** What the history says is there at a moment, in the same form; the moment as Postgres writes it. */
export async function rowsAt(db: Database, at: string): Promise<readonly string[]> {
  const { rows } = await sql<{ row: string[] }>`
    select array[account_id, group_name] as row from tim.friend_groups_at(${at}::timestamptz)
    union all
    select array[account_id, group_name, friend_id] from tim.friend_group_members_at(${at}::timestamptz)
  `.execute(db);
  return rows.map(({ row }) => JSON.stringify(row)).sort();
}
