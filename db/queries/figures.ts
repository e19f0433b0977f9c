import { type Kysely, sql } from 'kysely';
import type { DB } from '../schema.ts';
import { sampleStates } from './sampled-states.ts';

/** Accounts of one app that are alike: in status, in how old they are, and in whether they are overdue. */
export interface AgeBucket {
  readonly appId: number;
  readonly status: 'never_polled' | 'active' | 'gone' | 'quarantined';
  readonly overdue: boolean;
  /** Index of the first bound that is greater than their age; the number of bounds beyond the last. */
  readonly bucket: number;
  readonly accounts: number;
  readonly ageSum: number;
  readonly ageMax: number;
}

/** Counts accounts by status, lateness and age in seconds; in a large mirror from a sample. */
export async function countAgeBuckets(
  db: Kysely<DB>,
  bounds: readonly number[],
): Promise<readonly AgeBucket[]> {
  const { source, factor } = await sampleStates(db);
  const { rows } = await sql<AgeBucket>`
    select
      app_id as "appId", status::text, overdue, bucket,
      round(count(*) * ${factor}::float8)::bigint as accounts,
      sum(age) * ${factor}::float8 as "ageSum",
      max(age) as "ageMax"
    from (
      select
        state.app_id, state.status, age,
        width_bucket(age, ${bounds}::float8[]) as bucket,
        -- As tim.freshness has it.
        state.status = 'active'
          and age > 60 + 1.5 * greatest(app.weight_sum / app.calls_per_second, 60) / state.weight as overdue
      from ${source}
      join mirror.app using (app_id)
      cross join lateral (
        select coalesce(extract(epoch from now() - state.verified_at), 0)::float8 as age
      ) aged
    ) banded
    group by 1, 2, 3, 4
  `.execute(db);
  return rows;
}

/** Accounts of an app that have a problem, counted one by one: there are few, and an index has them. */
export interface ProblemCounts {
  readonly appId: number;
  readonly gone: number;
  readonly quarantined: number;
  readonly failing: number;
  /** With an answer that waits for a second one that agrees. */
  readonly awaitingConfirmation: number;
  /** With removals that wait for an operator. */
  readonly held: number;
}

/** Counts the accounts that have a problem, exactly. */
export async function countUnhealthyAccounts(db: Kysely<DB>): Promise<readonly ProblemCounts[]> {
  const { rows } = await sql<ProblemCounts>`
    select
      app.app_id as "appId",
      coalesce(gone, 0) as gone,
      coalesce(quarantined, 0) as quarantined,
      coalesce(failing, 0) as failing,
      coalesce(awaiting, 0) as "awaitingConfirmation",
      (
        select count(*) from mirror.held_removal held where held.app_id = app.app_id and released_at is null
      ) as held
    from mirror.app
    left join (
      select
        app_id,
        count(*) filter (where status = 'gone') as gone,
        count(*) filter (where status = 'quarantined') as quarantined,
        count(*) filter (where fail_count > 0 and status <> 'quarantined') as failing,
        count(*) filter (where pending_hash is not null) as awaiting
      from mirror.poll_state
      where fail_count > 0 or status in ('gone', 'quarantined') or pending_hash is not null
      group by app_id
    ) counted using (app_id)
  `.execute(db);
  return rows;
}
