import { setTimeout as sleep } from 'node:timers/promises';
import { type Kysely, sql, type Transaction } from 'kysely';
import type { Database } from '../client.ts';
import type { DB } from '../schema.ts';
import { isLockTimeout } from '../storage-errors.ts';

/**
 * The number that the feed gives the transaction at hand. A subquery, so that a statement computes it once: 0.01 ms,
 * however many lines it writes. Nothing to add is the rule, and then nothing is converted.
 */
export const feedTxId = sql`(
  select case tx_offset
    when 0 then pg_current_xact_id()
    else (pg_current_xact_id()::text::bigint + tx_offset)::text::xid8
  end
  from mirror.feed
)`;

/** The numbers of the feed went on beyond those of another server. */
export interface FeedJump {
  /** The greatest number that another server gave; null where the jump was asked for. */
  readonly from: string | null;
  /** Every line written from now on has at least this number. */
  readonly to: string;
}

/**
 * Each jump leads to the next multiple of 2^40. A consumer may have read on after the backup was made, and no server
 * gives a trillion numbers: at 10,000 transactions a second they last for three years.
 */
const jumpSize = 2 ** 40;
const timeoutMs = 15_000;
const lockWaitMs = 2000;
const lockPauseMs = 250;

/**
 * Sees that new lines of the change feed have greater numbers than all that are there. They had smaller ones after a
 * restore into another server, which counts its own transactions, and no consumer would ever read them. `always` jumps
 * without that sign, for a backup that is older than what consumers have read. Returns the jump, if there was one; of
 * several processes at once one does it. Throws after 15 s in which writers can’t be held up.
 */
export async function continueFeed(db: Database, { always = false } = {}): Promise<FeedJump | undefined> {
  if (!always && !(await liesInFuture(db))) return undefined;
  for (const started = performance.now(); ; await sleep(lockPauseMs)) {
    try {
      return await db.transaction().execute((trx) => jump(trx, always));
    } catch (error) {
      if (!isLockTimeout(error) || performance.now() - started > timeoutMs) throw error;
    }
  }
}

/** The greatest number in the feed, by the index of each month; and where the numbers of this server end. */
const ends = sql`
  select
    (select tx_id from mirror.change order by tx_id desc limit 1) as newest,
    (pg_snapshot_xmax(pg_current_snapshot())::text::bigint + tx_offset)::text::xid8 as next
  from mirror.feed
`;

async function liesInFuture(db: Kysely<DB>): Promise<boolean> {
  const { rows } = await sql<{
    future: boolean | null;
  }>`select newest >= next as future from (${ends}) ends`.execute(db);
  return rows[0]?.future ?? false;
}

async function jump(trx: Transaction<DB>, always: boolean): Promise<FeedJump | undefined> {
  await sql`select set_config('lock_timeout', ${String(lockWaitMs)}, true)`.execute(trx);
  // Until this is committed no session writes rows. A transaction that began before and writes its first line afterwards
  // takes the new offset, and its own number counts: none that still runs has a smaller one than xmin.
  await sql`lock table only mirror.change in share row exclusive mode`.execute(trx);
  const { rows } = await sql<FeedJump>`
    with ends as (${ends}),
    target as (
      select case when newest >= next then newest end as foreign_newest,
        (div(greatest(newest, next)::text::numeric, ${jumpSize}::bigint) + 1)::bigint * ${jumpSize}::bigint as first
      from ends where ${always} or newest >= next
    )
    update mirror.feed
    set tx_offset = first - pg_snapshot_xmin(pg_current_snapshot())::text::bigint
    from target
    returning foreign_newest::text as "from", first::text as "to"
  `.execute(trx);
  return rows[0];
}

/** The jump in a sentence, for the person who restored the mirror. */
export function describeJump({ from, to }: FeedJump): string {
  return (
    `The change feed’s numbers go on from ${to}` +
    (from === null ? '' : `, because its last line has number ${from}, which another server gave`) +
    '; consumers that read by tim.feed_horizon() go on from where they are.'
  );
}
