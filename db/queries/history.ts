import { type Kysely, sql } from 'kysely';
import type { DB } from '../schema.ts';

/** Makes the monthly partitions of the change feed for this month and `monthsAhead` more. Returns how many it made. */
export async function ensureChangePartitions(db: Kysely<DB>, monthsAhead: number): Promise<number> {
  const { rows } = await sql<{ made: number }>`
    select mirror.ensure_change_partitions(${monthsAhead}) as made
  `.execute(db);
  return rows[0]?.made ?? 0;
}

/** Partitions of the change feed that hold nothing younger than `days`, oldest first. */
export async function findOldChangePartitions(db: Kysely<DB>, days: number): Promise<readonly string[]> {
  const { rows } = await sql<{ name: string }>`
    select relname as name
    from pg_inherits join pg_class on pg_class.oid = inhrelid
    where inhparent = 'mirror.change'::regclass and relname ~ '^change_[0-9]{4}_[0-9]{2}$'
      and to_date(substr(relname, 8), 'YYYY_MM') + interval '1 month' < now() - ${days} * interval '1 day'
    order by relname
  `.execute(db);
  return rows.map((row) => row.name);
}

/** Drops one partition of the change feed. It is detached first, which lets readers of the others go on. */
export async function dropChangePartition(db: Kysely<DB>, name: string): Promise<void> {
  await sql`alter table mirror.change detach partition ${sql.id('mirror', name)} concurrently`.execute(db);
  await sql`drop table ${sql.id('mirror', name)}`.execute(db);
}

/** Deletes up to `limit` memberships and `limit` groups that ended more than `days` ago. Returns how many rows went. */
export async function deleteOldHistory(db: Kysely<DB>, days: number, limit: number): Promise<number> {
  const members = await sql`
    delete from mirror.friend_group_member where ctid = any(array(
      select ctid from mirror.friend_group_member
      where removed_at < now() - ${days} * interval '1 day' limit ${limit}
    ))
  `.execute(db);
  const groups = await sql`
    delete from mirror.friend_group where group_key = any(array(
      select group_key from mirror.friend_group
      where removed_at < now() - ${days} * interval '1 day'
        and not exists (select from mirror.friend_group_member member where member.group_key = friend_group.group_key)
      limit ${limit}
    ))
  `.execute(db);
  return Number(members.numAffectedRows ?? 0n) + Number(groups.numAffectedRows ?? 0n);
}
