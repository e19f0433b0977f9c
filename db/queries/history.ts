import { setTimeout as sleep } from 'node:timers/promises';
import { type Kysely, sql } from 'kysely';
import type { Database } from '../client.ts';
import type { DB } from '../schema.ts';

const lockTries = 60;
const lockPauseMs = 250;

/**
 * Makes the monthly partitions of the change feed for this month and `monthsAhead` more, holding up neither readers nor
 * writers. Returns how many it made. Gives up after 15 s in which somebody else changes the feed's partitions.
 */
export async function ensureChangePartitions(db: Database, monthsAhead: number): Promise<number> {
  for (let tries = 1; ; tries += 1) {
    const missing = await sql`select mirror.missing_change_months(${monthsAhead})`.execute(db);
    if (missing.rows.length === 0) return 0;
    try {
      return await makeChangePartitions(db, monthsAhead);
    } catch (error) {
      if (!isLockTimeout(error) || tries === lockTries) throw error;
    }
    await sleep(lockPauseMs);
  }
}

async function makeChangePartitions(db: Database, monthsAhead: number): Promise<number> {
  return db.transaction().execute(async (trx) => {
    // The lock that attaching needs, tried and not waited for: a detach that holds it waits for all transactions that
    // are older, and two that wait for each other would be a deadlock.
    await sql`lock table only mirror.change in share update exclusive mode nowait`.execute(trx);
    const { rows } = await sql<{ made: number }>`
      select mirror.ensure_change_partitions(${monthsAhead}) as made
    `.execute(trx);
    return rows[0]?.made ?? 0;
  });
}

/** A month of the change feed that retention takes away, and how far that has got. */
export interface OldChangePartition {
  readonly name: string;
  /** `detaching`: the detach waits for readers, or was broken off while it did. `detached`: only the drop is missing. */
  readonly state: 'attached' | 'detaching' | 'detached';
}

/**
 * Months of the change feed that hold nothing younger than `days`, oldest first; one that is half detached before all
 * others, for Postgres detaches no second one beside it.
 */
export async function findOldChangePartitions(
  db: Kysely<DB>,
  days: number,
): Promise<readonly OldChangePartition[]> {
  const { rows } = await sql<OldChangePartition>`
    select
      relname as name,
      case when inhrelid is null then 'detached' when inhdetachpending then 'detaching' else 'attached' end as state
    from pg_class left join pg_inherits on inhrelid = pg_class.oid
    where relnamespace = 'mirror'::regnamespace and relkind = 'r' and relname ~ '^change_[0-9]{4}_[0-9]{2}$'
      and (to_date(substr(relname, 8), 'YYYY_MM') + interval '1 month') at time zone 'utc'
        < now() - ${days} * interval '1 day'
    order by inhdetachpending desc nulls last, relname
  `.execute(db);
  return rows;
}

/**
 * Takes a month out of the change feed and drops it, holding up neither readers nor writers. A detach waits for
 * those who read already; after `waitMs` it is left half done, in which state nobody new sees the month, and taken
 * up by the next call. Returns whether the month is gone.
 */
export async function dropChangePartition(
  db: Database,
  { name, state }: OldChangePartition,
  waitMs: number,
): Promise<boolean> {
  const partition = sql.id('mirror', name);
  try {
    await db.connection().execute(async (connection) => {
      // Of the session: a concurrent detach can't run in a transaction.
      await sql`select set_config('lock_timeout', ${`${waitMs}ms`}, false)`.execute(connection);
      try {
        if (state === 'attached')
          await sql`alter table mirror.change detach partition ${partition} concurrently`.execute(connection);
        if (state === 'detaching')
          await sql`alter table mirror.change detach partition ${partition} finalize`.execute(connection);
        await sql`drop table ${partition}`.execute(connection);
      } finally {
        await sql`reset lock_timeout`.execute(connection);
      }
    });
    return true;
  } catch (error) {
    if (isLockTimeout(error)) return false;
    throw error;
  }
}

function isLockTimeout(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '55P03';
}

/** Deletes up to `limit` memberships and `limit` groups that ended more than `days` ago. Returns how many rows went. */
export async function deleteOldHistory(db: Kysely<DB>, days: number, limit: number): Promise<number> {
  const members = await sql`
    -- By their keys, for a place in the table is no name where an operator has partitioned it.
    delete from mirror.friend_group_member member
    using (
      select group_key, friend_id, removed_at from mirror.friend_group_member
      where removed_at < now() - ${days} * interval '1 day' limit ${limit}
    ) old
    where member.group_key = old.group_key and member.friend_id = old.friend_id and member.removed_at = old.removed_at
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
