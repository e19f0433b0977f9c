import { type Kysely, sql, type Transaction } from 'kysely';
import type { DB } from '../schema.ts';
import { type HeldRemoval, removalTotals } from './held-removals.ts';
import { sampleStates } from './sampled-states.ts';

/** Notes that an account has shrunk, and what it would lose; with `believed` that it has lost it. */
export async function noteShrunk(
  trx: Transaction<DB>,
  shrunk: HeldRemoval,
  believed: boolean,
): Promise<void> {
  const { accountKey, appId, groups, members } = shrunk;
  await sql`
    insert into mirror.shrunk_account as noted (account_key, app_id, groups, members, believed_at)
    values (${accountKey}, ${appId}, ${groups}, ${members}, case when ${believed} then clock_timestamp() end)
    on conflict (account_key) do update set
      app_id = excluded.app_id, groups = excluded.groups, members = excluded.members, believed_at = excluded.believed_at,
      -- What is believed has shrunk when its first answer came.
      shrunk_at = case when ${believed} then noted.shrunk_at else excluded.shrunk_at end
  `.execute(trx);
}

/** How an app is when removals are about to be judged. */
export interface ShrinkCounts {
  /** Enrolled accounts, as counted within the last minute. */
  readonly accounts: number;
  readonly held: boolean;
  /** The operator has released removals at present. */
  readonly bypassed: boolean;
  /** Seconds since the operator last released or discarded; what happened before has been looked at. */
  readonly resolvedAgo: number | null;
  /** Distinct accounts that shrank within each of the windows. */
  readonly shrunk: readonly number[];
}

/** Counts the accounts of an app that have shrunk within windows of this many seconds. Undefined when there is no such app. */
export async function countShrunk(
  db: Kysely<DB>,
  appId: number,
  windows: readonly number[],
): Promise<ShrinkCounts | undefined> {
  const { rows } = await sql<ShrinkCounts>`
    select
      account_count as accounts,
      removals_held_at is not null as held,
      coalesce(removals_free_until > clock_timestamp(), false) as bypassed,
      extract(epoch from clock_timestamp() - removals_free_until)::float8 as "resolvedAgo",
      (
        select json_agg((
          select count(*) from mirror.shrunk_account shrunk
          where shrunk.app_id = app.app_id
            and shrunk_at > greatest(clock_timestamp() - seconds * interval '1 second', removals_free_until)
        ) order by place)
        from unnest(${windows}::float8[]) with ordinality as span (seconds, place)
      ) as shrunk
    from mirror.app where app_id = ${appId}
  `.execute(db);
  return rows[0];
}

/**
 * Counts the distinct accounts of an app that were read within windows of this many seconds: whose state was proved, or
 * that shrank. Exact up to 200,000 accounts, and beyond from a sample, good to a few percent.
 */
export async function countRead(
  db: Kysely<DB>,
  appId: number,
  windows: readonly number[],
): Promise<readonly number[]> {
  const { source, factor } = await sampleStates(db);
  const since = (seconds: number) => sql`clock_timestamp() - ${seconds}::float8 * interval '1 second'`;
  const proved = windows.map((seconds) => sql`count(*) filter (where verified_at > ${since(seconds)})`);
  const shrunkOnly = windows.map(
    (seconds) =>
      sql`count(*) filter (where shrunk_at > ${since(seconds)} and (verified_at > ${since(seconds)}) is not true)`,
  );
  const { rows } = await sql<{ proved: number[]; shrunk: number[] }>`
    select
      (select json_build_array(${sql.join(proved)}) from ${source} where app_id = ${appId}) as proved,
      (
        select json_build_array(${sql.join(shrunkOnly)})
        from mirror.shrunk_account shrunk join mirror.poll_state using (account_key)
        where shrunk.app_id = ${appId} and shrunk_at > ${since(Math.max(...windows))}
      ) as shrunk
  `.execute(db);
  const [counts] = rows;
  return windows.map((_, index) =>
    Math.round((counts?.proved[index] ?? 0) * factor + (counts?.shrunk[index] ?? 0)),
  );
}

/** Accounts whose rows were removed within this many seconds before removals were held, the largest first. */
export interface BelievedRemovals {
  readonly accounts: number;
  readonly groups: number;
  readonly members: number;
  readonly examples: readonly {
    readonly accountId: string;
    readonly groups: number;
    readonly members: number;
    readonly believedAt: Date;
  }[];
}

/** Reads what was believed in the `seconds` before removals of the app were held; nothing while they are not held. */
export async function readBelieved(
  db: Kysely<DB>,
  appId: number,
  seconds: number,
  limit: number,
): Promise<BelievedRemovals> {
  const believed = sql`
    from mirror.shrunk_account shrunk join mirror.app using (app_id)
    where app_id = ${appId} and believed_at > removals_held_at - ${seconds} * interval '1 second'
  `;
  const totals = await sql<Omit<BelievedRemovals, 'examples'>>`
    select ${removalTotals} ${believed}
  `.execute(db);
  const examples = await sql<BelievedRemovals['examples'][number]>`
    select account_id as "accountId", largest.groups, largest.members, largest.believed_at as "believedAt"
    from (select account_key, groups, members, believed_at ${believed} order by members desc, groups desc limit ${limit}) largest
    join mirror.account using (account_key)
    order by members desc, groups desc, account_id
  `.execute(db);
  return { ...(totals.rows[0] ?? { accounts: 0, groups: 0, members: 0 }), examples: examples.rows };
}

/** Forgets what happened more than a day ago. */
export async function dropOldShrunk(db: Kysely<DB>): Promise<void> {
  await sql`
    delete from mirror.shrunk_account
    where coalesce(believed_at, shrunk_at) < clock_timestamp() - interval '1 day'
  `.execute(db);
}
