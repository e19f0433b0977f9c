import { type Kysely, sql } from 'kysely';
import type { DB } from '../schema.ts';

/** A place in the change feed: after this line. */
export interface FeedPosition {
  readonly txId: string;
  readonly changeId: number;
}

/** Where a reading begins: after a place, with what was observed from a moment on, or could not be seen yet. */
export interface FeedStart extends FeedPosition {
  /** A moment and a snapshot, as Postgres writes them. */
  readonly since: string;
  readonly snapshot: string;
}

/** One line of the change feed, as analysts see it. */
export interface ChangeLine {
  readonly txId: string;
  readonly changeId: number;
  readonly accountId: string;
  readonly kind: string;
  readonly groupName: string;
  readonly friendId: string | null;
  readonly observedAt: Date;
  /** Of a group that was renamed. */
  readonly oldGroupName: string | null;
}

/** Whose changes are wanted: an app's, or those of one of its accounts. */
export interface ChangeFilter {
  readonly appId: number;
  readonly accountId: string | undefined;
}

const columns = sql`
  tx_id::text as "txId", change_id as "changeId", account_id as "accountId", kind, group_name as "groupName",
  friend_id as "friendId", observed_at as "observedAt", old_group_name as "oldGroupName"
`;

const wanted = ({ appId, accountId }: ChangeFilter) =>
  accountId === undefined ? sql`app_id = ${appId}` : sql`app_id = ${appId} and account_id = ${accountId}`;

/**
 * The next lines after a place, in the order of the feed. With `finished` only of transactions after which nothing can
 * come any more, so that a reader who goes on from the last line misses nothing; without it everything there is. With a
 * `start` what it leaves out is left out: ids of transactions do not come in the order of moments.
 */
export async function readFeed(
  db: Kysely<DB>,
  filter: ChangeFilter,
  page: {
    readonly after: FeedPosition;
    readonly limit: number;
    readonly finished: boolean;
    readonly start?: FeedStart;
  },
): Promise<readonly ChangeLine[]> {
  const { start } = page;
  const { txId, changeId } = page.after;
  const begun =
    start === undefined
      ? sql`true`
      : sql`(observed_at >= ${start.since} or not pg_visible_in_snapshot(tx_id, ${start.snapshot}))`;
  const finished = page.finished ? sql`tx_id < tim.feed_horizon()` : sql`true`;
  const { rows } = await sql<ChangeLine>`
    select ${columns} from tim.changes
    where ${wanted(filter)} and (tx_id, change_id) > (${txId}::xid8, ${changeId}::bigint)
      and ${begun} and ${finished}
    order by tx_id, change_id
    limit ${page.limit}
  `.execute(db);
  return rows;
}

/**
 * Where to begin for what is observed within the last `seconds`, also by transactions that are still under way. A
 * standby's snapshot does not list those, so everything from the first of them on counts as not seen yet. The snapshot
 * is in the numbers of the feed, in which every line of a former server is older than all of this one.
 */
export async function findFeedStart(
  db: Kysely<DB>,
  filter: ChangeFilter,
  seconds: number,
): Promise<FeedStart> {
  // Materialized: else Postgres may look for the least tx_id along the index, past everything that is older.
  const { rows } = await sql<{ txId: string; since: string; snapshot: string }>`
    with moment as (select now() - ${seconds} * interval '1 second' as since),
    recent as materialized (
      select tx_id from tim.changes where ${wanted(filter)} and observed_at >= (select since from moment)
    )
    select
      least(min(tx_id), tim.feed_horizon())::text as "txId",
      (select since::text from moment) as since,
      (
        select format('%s:%s:%s', tim.feed_horizon(), ends, under_way) from (
          select
            case when pg_is_in_recovery() then tim.feed_horizon()::text::bigint
              else pg_snapshot_xmax(pg_current_snapshot())::text::bigint + tx_offset end as ends,
            case when not pg_is_in_recovery() then
              (select string_agg((id::text::bigint + tx_offset)::text, ',' order by id::text::bigint)
               from pg_snapshot_xip(pg_current_snapshot()) id)
            end as under_way
          from mirror.feed
        ) snapshot
      ) as snapshot
    from recent
  `.execute(db);
  if (rows[0] === undefined) throw new Error('no start of the feed');
  return { ...rows[0], changeId: 0 };
}

/** The newest changes of an app, newest first. */
export async function readNewestChanges(
  db: Kysely<DB>,
  appId: number,
  limit: number,
): Promise<readonly ChangeLine[]> {
  const { rows } = await sql<ChangeLine>`
    select ${columns} from tim.changes where app_id = ${appId}
    order by tx_id desc, change_id desc
    limit ${limit}
  `.execute(db);
  return rows;
}
