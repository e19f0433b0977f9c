import { type Kysely, sql } from 'kysely';
import type { DB } from '../schema.ts';

/** Accounts of one app by status, and how fresh they are; ages in seconds, undefined where nothing was read. */
export interface AccountFigures {
  readonly appId: number;
  readonly total: number;
  readonly pending: number;
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

/** Reads every account's state once. */
export async function readAccountFigures(db: Kysely<DB>): Promise<readonly AccountFigures[]> {
  const { rows } = await sql<
    AccountFigures & { p50: number | null; p95: number | null; p99: number | null; oldest: number | null }
  >`
    select
      freshness.app_id as "appId",
      freshness.accounts as total,
      freshness.overdue,
      extract(epoch from freshness.age_p50)::float8 as p50,
      extract(epoch from freshness.age_p95)::float8 as p95,
      extract(epoch from freshness.age_p99)::float8 as p99,
      extract(epoch from freshness.age_max)::float8 as oldest,
      coalesce(pending, 0) as pending,
      coalesce(active, 0) as active,
      coalesce(gone, 0) as gone,
      coalesce(quarantined, 0) as quarantined,
      coalesce(failing, 0) as failing,
      coalesce(awaiting, 0) as "awaitingConfirmation",
      coalesce(due, 0) as due
    from tim.freshness
    left join (
      select
        app_id,
        count(*) filter (where status = 'pending') as pending,
        count(*) filter (where status = 'active') as active,
        count(*) filter (where status = 'gone') as gone,
        count(*) filter (where status = 'quarantined') as quarantined,
        count(*) filter (where fail_count > 0 and status <> 'quarantined') as failing,
        count(*) filter (where pending_hash is not null) as awaiting,
        count(*) filter (where first_polled_at is not null and due_v <= virtual_clock) as due
      from mirror.poll_state join mirror.app using (app_id)
      group by app_id
    ) counted using (app_id)
    order by app_id
  `.execute(db);
  return rows.map(({ p50, p95, p99, oldest, ...figures }) => ({
    ...figures,
    age: { p50, p95, p99, oldest },
  }));
}

/** A reason for which accounts fail at the moment, and how many. */
export interface FailureReason {
  readonly appId: number;
  readonly outcome: string;
  readonly code: number;
  readonly message: string;
  readonly accounts: number;
}

/** The most frequent reasons for which accounts fail at the moment, up to five an app. */
export async function readFailureReasons(db: Kysely<DB>): Promise<readonly FailureReason[]> {
  const { rows } = await sql<FailureReason>`
    select "appId", outcome, code, message, accounts from (
      select
        state.app_id as "appId", failure.outcome, failure.code, failure.message, count(*) as accounts,
        row_number() over (partition by state.app_id order by count(*) desc) as place
      from mirror.poll_state state
      join lateral (
        select outcome, code, message from mirror.poll_outcome
        where poll_outcome.account_key = state.account_key order by claim_no desc limit 1
      ) failure on failure.code is not null
      where state.fail_count > 0 or state.status in ('gone', 'quarantined')
      group by 1, 2, 3, 4
    ) reasons
    where place <= 5
    order by "appId", place
  `.execute(db);
  return rows;
}
