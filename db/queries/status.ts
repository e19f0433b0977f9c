import { type Kysely, sql } from 'kysely';
import type { DB } from '../schema.ts';
import { countUnhealthyAccounts } from './figures.ts';
import { sampleStates } from './sampled-states.ts';

/** Accounts of one app by status, and how fresh they are; ages in seconds, undefined where nothing was read. */
export interface AccountStats {
  readonly appId: number;
  readonly total: number;
  readonly neverPolled: number;
  readonly active: number;
  readonly gone: number;
  readonly quarantined: number;
  readonly failing: number;
  readonly awaitingConfirmation: number;
  readonly overdue: number;
  /** Known accounts whose turn has come. */
  readonly due: number;
  readonly age: {
    readonly p50: number | null;
    readonly p95: number | null;
    readonly p99: number | null;
    readonly oldest: number | null;
  };
}

/** Counts accounts and reports their ages, as `tim.freshness` does; in a large mirror from a sample. */
export async function readAccountStats(db: Kysely<DB>): Promise<readonly AccountStats[]> {
  const { source, factor } = await sampleStates(db);
  const { rows } = await sql<Omit<AccountStats, 'age'> & AccountStats['age']>`
    select
      app.app_id as "appId",
      round(count(state.account_key) * ${factor}::float8)::bigint as total,
      round(count(*) filter (where state.status = 'never_polled') * ${factor}::float8)::bigint as "neverPolled",
      round(count(*) filter (where state.status = 'active') * ${factor}::float8)::bigint as active,
      round(count(*) filter (
        where state.status = 'active'
          and age > 60 + 1.5 * greatest(app.weight_sum / app.calls_per_second, 60) / state.weight
      ) * ${factor}::float8)::bigint as overdue,
      round(count(*) filter (
        where state.first_polled_at is not null and state.due_v <= app.virtual_clock
      ) * ${factor}::float8)::bigint as due,
      percentile_cont(0.5) within group (order by age) filter (where state.status = 'active') as p50,
      percentile_cont(0.95) within group (order by age) filter (where state.status = 'active') as p95,
      percentile_cont(0.99) within group (order by age) filter (where state.status = 'active') as p99,
      max(age) filter (where state.status = 'active') as oldest
    from mirror.app
    left join ${source} using (app_id)
    cross join lateral (select extract(epoch from now() - state.verified_at)::float8 as age) aged
    group by app.app_id
    order by app.app_id
  `.execute(db);
  const problems = await countUnhealthyAccounts(db);
  return rows.map(({ p50, p95, p99, oldest, ...counts }) => {
    const problem = problems.find(({ appId }) => appId === counts.appId);
    return {
      ...counts,
      gone: problem?.gone ?? 0,
      quarantined: problem?.quarantined ?? 0,
      failing: problem?.failing ?? 0,
      awaitingConfirmation: problem?.awaitingConfirmation ?? 0,
      age: { p50, p95, p99, oldest },
    };
  });
}

/** A reason for which accounts fail at the moment, and how many. */
export interface FailureReason {
  readonly appId: number;
  readonly outcome: string;
  readonly code: number;
  readonly message: string;
  readonly accounts: number;
}

/** Of accounts that have a problem; many of them have few reasons. */
const reasonsLookedAt = 20_000;

/** The most frequent reasons for which accounts fail at the moment, up to five an app. */
export async function readFailureReasons(db: Kysely<DB>): Promise<readonly FailureReason[]> {
  const { rows } = await sql<FailureReason>`
    select "appId", outcome, code, message, accounts from (
      select
        state.app_id as "appId", failure.outcome, failure.code, failure.message, count(*) as accounts,
        row_number() over (partition by state.app_id order by count(*) desc) as place
      from (
        select account_key, app_id from mirror.poll_state
        where fail_count > 0 or status in ('gone', 'quarantined')
        limit ${reasonsLookedAt}
      ) state
      join lateral (
        select outcome, code, message from mirror.poll_outcome
        where poll_outcome.account_key = state.account_key order by claim_no desc limit 1
      ) failure on failure.code is not null
      group by 1, 2, 3, 4
    ) reasons
    where place <= 5
    order by "appId", place
  `.execute(db);
  return rows;
}
