import { type Kysely, sql } from 'kysely';
import type { DB } from '../schema.ts';

/** How often something happened to an app: `call` is an HTTP attempt, everything else an outcome of a poll. */
export interface Activity {
  readonly appId: number;
  readonly event: string;
  readonly count: number;
}

/** Adds what a process has counted to the bucket of these ten seconds. */
export async function addActivity(db: Kysely<DB>, counted: readonly Activity[]): Promise<void> {
  if (counted.length === 0) return;
  await sql`
    insert into mirror.activity (app_id, bucket, event, count)
    select "appId", date_bin('10 seconds', clock_timestamp(), timestamptz 'epoch'), event, count
    from json_to_recordset(${JSON.stringify(counted)}::json) as counted ("appId" bigint, event text, count integer)
    -- Two processes at once take the rows in one order.
    order by event
    on conflict (app_id, bucket, event) do update set count = mirror.activity.count + excluded.count
  `.execute(db);
}

/** What happened in the last `seconds`, in whole buckets of ten. */
export async function readActivity(db: Kysely<DB>, seconds: number): Promise<readonly Activity[]> {
  const { rows } = await sql<Activity>`
    with now as (select date_bin('10 seconds', clock_timestamp(), timestamptz 'epoch') as bucket)
    select app_id as "appId", event, sum(count)::bigint as count
    from mirror.activity, now
    where activity.bucket >= now.bucket - ${seconds} * interval '1 second' and activity.bucket < now.bucket
    group by app_id, event
    order by app_id, event
  `.execute(db);
  return rows;
}

/** Deletes what nobody looks at any more. */
export async function dropOldActivity(db: Kysely<DB>): Promise<void> {
  await sql`delete from mirror.activity where bucket < clock_timestamp() - interval '1 day'`.execute(db);
}
