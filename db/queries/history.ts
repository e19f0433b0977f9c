import { setTimeout as sleep } from 'node:timers/promises';
import { type Kysely, sql, type Transaction } from 'kysely';
import type { Database } from '../client.ts';
import type { DB } from '../schema.ts';
import { codeOf, isLockTimeout } from '../storage-errors.ts';

/** Months of the change feed that are made before they begin: three leave time to repair what is in the way. */
export const monthsAhead = 3;
/** How long a round tries for the locks that partitions take. */
const timeoutMs = 15_000;
const lockPauseMs = 250;
/** How long it waits for those who read a table that is not part of the feed, or is leaving it. */
const readerWaitMs = 2000;

/** A month of the feed that can’t be made: its table is there, and can’t be attached. */
interface MonthProblem {
  /** The table, the reason, and what to do. */
  readonly sentence: string;
  /** Whether changes that happen now can’t be written. */
  readonly present: boolean;
}

/** What came of a look at the months of the change feed. */
interface ChangeMonths {
  /** Tables made or attached. */
  readonly made: number;
  readonly problems: readonly MonthProblem[];
}

/**
 * Sees that attached partitions of the change feed cover the time from an hour ago to the end of `ahead` months
 * from this one, holding up neither readers nor writers. Makes tables, attaches those that are there detached, and
 * stores for `status` what is in the way. Throws after 15 s in which another session changes the feed's partitions.
 */
export async function ensureChangePartitions(db: Database, ahead: number): Promise<ChangeMonths> {
  for (const started = performance.now(); ; await sleep(lockPauseMs)) {
    try {
      const { rows } = await sql`select from mirror.missing_change_parts(${ahead})`.execute(db);
      if (rows.length > 0) await finishDetaches(db);
      const months = rows.length === 0 ? { made: 0, problems: [] } : await attachMonths(db, ahead);
      await storeProblems(db, months.problems);
      return months;
    } catch (error) {
      if (!isLockTimeout(error) || performance.now() - started > timeoutMs) throw error;
    }
  }
}

/**
 * Finishes detaches that were aborted, of months that are still needed: Postgres attaches no other table in their
 * place. One whose readers go on waits for another round.
 */
async function finishDetaches(db: Database): Promise<void> {
  const { rows } = await sql<{ name: string }>`
    select relname as name from mirror.change_partitions() join pg_class on pg_class.oid = partition
    where detaching and ends > now() - interval '1 hour'
  `.execute(db);
  for (const { name } of rows) {
    try {
      await db.transaction().execute(async (trx) => {
        await boundLockWaits(trx);
        await sql`alter table mirror.change detach partition ${sql.id('mirror', name)} finalize`.execute(trx);
      });
    } catch (error) {
      // Or a reader from before the detach wants the month, while this waits for their end.
      if (!isLockTimeout(error) && codeOf(error) !== '40P01') throw error;
    }
  }
}

async function attachMonths(db: Database, ahead: number): Promise<ChangeMonths> {
  return db.transaction().execute(async (trx) => {
    // The lock that attaching needs, tried and not waited for: a detach that holds it waits for all transactions that
    // are older, and two that wait for each other would be a deadlock.
    await sql`lock table only mirror.change in share update exclusive mode nowait`.execute(trx);
    await boundLockWaits(trx);
    const { rows } = await sql<AttachedPart>`
      select partition, begins, ends, present, detaching, failure from mirror.attach_change_months(${ahead})
    `.execute(trx);
    const problems = rows.flatMap((row) => (row.failure === null ? [] : [problemOf(row, row.failure)]));
    return { made: rows.length - problems.length, problems };
  });
}

interface AttachedPart {
  readonly partition: string;
  readonly begins: Date;
  readonly ends: Date;
  readonly present: boolean;
  readonly detaching: boolean;
  readonly failure: string | null;
}

function problemOf(part: AttachedPart, failure: string): MonthProblem {
  const { partition, begins, ends, present, detaching } = part;
  const time = (date: Date) => date.toISOString().replace(/:\d\d\.\d+/, '');
  const remedy = detaching
    ? 'end their transactions, and the daemon attaches it'
    : failure.includes('default partition')
      ? 'move those rows away, or detach that partition, and the daemon makes the month'
      : 'rename or drop it, and the daemon makes a new one';
  return {
    present,
    sentence:
      `Changes from ${time(begins)} to ${time(ends)} can’t be written, because table mirror.${partition} is no part of ` +
      `the change feed and can’t be attached (${failure}); ${remedy}.`,
  };
}

async function storeProblems(db: Kysely<DB>, problems: readonly MonthProblem[]): Promise<void> {
  const text = problems.length === 0 ? null : problems.map(({ sentence }) => sentence).join(' ');
  await sql`
    update mirror.feed set months_problem = ${text}::text where months_problem is distinct from ${text}::text
  `.execute(db);
}

/** Bounds the waiting for locks in this transaction. */
async function boundLockWaits(trx: Transaction<DB>): Promise<void> {
  await sql`select set_config('lock_timeout', ${String(readerWaitMs)}, true)`.execute(trx);
}

/** How many of these months have no attached table, wholly or in part. */
export async function countMissingMonths(db: Kysely<DB>, ahead: number): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) from mirror.missing_change_months(${ahead})
  `.execute(db);
  return rows[0]?.count ?? 0;
}

/** Why months of the change feed have no table, in sentences; null while all have theirs. */
export async function readMonthsProblem(db: Kysely<DB>): Promise<string | null> {
  const { rows } = await sql<{ problem: string | null }>`
    select months_problem as problem from mirror.feed
  `.execute(db);
  return rows[0]?.problem ?? null;
}

/** A month of the change feed that retention takes away, and how far that has got. */
export interface OldChangePartition {
  readonly name: string;
  /** `detaching`: the detach waits for readers, or was aborted while it did. `detached`: only the drop is missing. */
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
  // Only its name says which month a detached table is. Bounds may lie 14 hours late, where an older release made
  // them in a session of another time zone.
  const { rows } = await sql<OldChangePartition>`
    select name, state from (
      select relname as name, case when detaching then 'detaching' else 'attached' end as state, ends
      from mirror.change_partitions() join pg_class on pg_class.oid = partition
      union all
      select relname, 'detached',
        (to_date(substr(relname, 8, 7), 'YYYY_MM') + interval '1 month 1 day') at time zone 'utc'
      from pg_class
      where relnamespace = 'mirror'::regnamespace and relkind = 'r' and not relispartition
        and relname ~ '^change_[0-9]{4}_[0-9]{2}(_[0-9]{2}_[0-9]{4})?$'
    ) month
    where ends < now() - ${days} * interval '1 day'
    order by state <> 'detaching', name
  `.execute(db);
  return rows;
}

/**
 * Takes a month out of the change feed and drops it, holding up neither readers nor writers. A detach waits for
 * those who read already; after `waitMs` it is left half done, in which state no new reader sees the month, and taken
 * up by the next call. Returns whether the month is gone.
 */
export async function dropChangePartition(
  db: Database,
  { name, state }: OldChangePartition,
  waitMs: number,
): Promise<boolean> {
  const partition = sql.id('mirror', name);
  if (!(await ownsFeed(db))) return dropAsRuntime(db, name);
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

async function ownsFeed(db: Database): Promise<boolean> {
  const { rows } = await sql<{ owns: boolean }>`
    select pg_has_role(relowner, 'usage') as owns from pg_class where oid = 'mirror.change'::regclass
  `.execute(db);
  return rows[0]?.owns === true;
}

/** A function of the owner's can't detach concurrently: it tries for 200 ms, in which readers wait, and gives up. */
async function dropAsRuntime(db: Database, name: string): Promise<boolean> {
  const { rows } = await sql<{
    dropped: boolean;
  }>`select mirror.drop_change_month(${name}) as dropped`.execute(db);
  return rows[0]?.dropped === true;
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
