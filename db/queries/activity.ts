import { type Kysely, sql } from 'kysely';
import type { DB } from '../schema.ts';

/**
 * How often something happened to an app: `call` is an HTTP attempt, `first_read` an account that was never read
 * before, `short_answer` an answer that listed fewer friends than it counted, `hinted` one that a callback has named,
 * `hint_unknown` one of these that is not enrolled, `discovered` one enrolled because it was named,
 * `discovered_by_callback` one of these that a callback named, `discovery_left_out` one that was not enrolled because so
 * many had been within the hour, `foreign_job` a job
 * of another installation that was refused, `refused write 55` a write that Postgres refused with an SQLSTATE of that
 * class; everything else is an outcome of a poll.
 */
export interface Activity {
  readonly appId: number;
  readonly event: string;
  readonly count: number;
  /** The time in which it was counted, in seconds. */
  readonly seconds: number;
}

/** The event of an account that was enrolled because a callback named it. */
export const namedEvent = 'discovered_by_callback';

const refusedPrefix = 'refused write ';

/** The event of a write that Postgres refused, by the SQLSTATE's class. */
export const refusedEvent = (stateClass: string) => `${refusedPrefix}${stateClass}`;

/** The SQLSTATE's class of an event that is a refused write; undefined for any other. */
export const refusedClassOf = (event: string) =>
  event.startsWith(refusedPrefix) ? event.slice(refusedPrefix.length) : undefined;

/** Whether an event is the outcome of a poll. */
export const isOutcome = (event: string) =>
  !besidesOutcomes.has(event) && refusedClassOf(event) === undefined;

const besidesOutcomes: ReadonlySet<string> = new Set([
  'call',
  'first_read',
  'hinted',
  'hint_unknown',
  'discovered',
  namedEvent,
  'discovery_left_out',
  'foreign_job',
  'short_answer',
]);

/** Length of a bucket. */
export const bucketMs = 10_000;

/** What a process has counted, and in which bucket: Postgres' time in milliseconds, or now. */
export interface CountedActivity extends Omit<Activity, 'seconds'> {
  readonly at?: number;
}

/** Adds what a process has counted to the buckets of ten seconds. */
export async function addActivity(db: Kysely<DB>, counted: readonly CountedActivity[]): Promise<void> {
  if (counted.length === 0) return;
  await sql`
    insert into mirror.activity (app_id, bucket, event, count)
    select
      "appId",
      date_bin('10 seconds', coalesce(to_timestamp(at / 1000), clock_timestamp()), timestamptz 'epoch') as bucket,
      event,
      count
    from json_to_recordset(${JSON.stringify(counted)}::json)
      as counted ("appId" bigint, event text, count integer, at float8)
    -- Two processes at once take the rows in one order.
    order by bucket, event
    on conflict (app_id, bucket, event) do update set count = mirror.activity.count + excluded.count
  `.execute(db);
}

// Processes store what they have counted every five seconds: a bucket is complete six seconds after its end.
const newestBucket = sql`date_bin('10 seconds', clock_timestamp() - interval '6 seconds', timestamptz 'epoch')`;

/** What happened in the last `seconds`, in whole buckets of ten; `seconds` of a row begin with the app's first bucket among them. */
export async function readActivity(db: Kysely<DB>, seconds: number): Promise<readonly Activity[]> {
  const { rows } = await sql<Activity>`
    with now as (select ${newestBucket} as bucket)
    select app_id as "appId", event, sum(count)::bigint as count,
      extract(epoch from min(now.bucket) - min(min(activity.bucket)) over (partition by app_id))::float8 as seconds
    from mirror.activity, now
    where activity.bucket >= now.bucket - ${seconds} * interval '1 second' and activity.bucket < now.bucket
    group by app_id, event
    order by app_id, event
  `.execute(db);
  return rows;
}

/**
 * Since when more polls of an app have failed than were answered, as the counts of the last day show; undefined when
 * they have not. A bucket without polls says nothing.
 */
export async function readFailingSince(
  db: Kysely<DB>,
  appId: number,
  answered: readonly string[],
): Promise<Date | undefined> {
  const { rows } = await sql<{ since: Date | null }>`
    with polls as (
      select
        bucket,
        sum(count) filter (where event = 'transient') as failed,
        sum(count) filter (where event = any(${answered}::text[])) as answered
      from mirror.activity
      where app_id = ${appId} and bucket > clock_timestamp() - interval '1 day'
      group by bucket
    ),
    judged as (
      select bucket, coalesce(failed, 0) > coalesce(answered, 0) as failing from polls
      where coalesce(failed, 0) + coalesce(answered, 0) > 0
    )
    select min(bucket) as since from judged
    where failing and bucket > coalesce((select max(bucket) from judged where not failing), '-infinity')
  `.execute(db);
  return rows[0]?.since ?? undefined;
}

/** Calls an app has sent in each of the last buckets of ten seconds, oldest first. */
interface CallSeries {
  readonly appId: number;
  /** Start of the first bucket, in seconds since the epoch. */
  readonly from: number;
  readonly calls: readonly number[];
}

/** The calls of the last `seconds`, for every app. */
export async function readCallSeries(db: Kysely<DB>, seconds: number): Promise<readonly CallSeries[]> {
  const { rows } = await sql<CallSeries>`
    with now as (select ${newestBucket} as bucket)
    select
      app.app_id as "appId",
      extract(epoch from min(moment))::float8 as "from",
      json_agg(coalesce(activity.count, 0) order by moment) as calls
    from mirror.app
    cross join now
    cross join lateral generate_series(
      now.bucket - ${seconds} * interval '1 second', now.bucket - interval '10 seconds', interval '10 seconds'
    ) moment
    left join mirror.activity on activity.app_id = app.app_id and activity.bucket = moment and event = 'call'
    group by app.app_id
    order by app.app_id
  `.execute(db);
  return rows;
}

/** Deletes what is too old to be shown. */
export async function dropOldActivity(db: Kysely<DB>): Promise<void> {
  await sql`delete from mirror.activity where bucket < clock_timestamp() - interval '1 day'`.execute(db);
}
