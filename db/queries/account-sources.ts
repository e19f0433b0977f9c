import { type Kysely, sql } from 'kysely';
import type { DB } from '../schema.ts';

/** How long a sync is believed to be alive; it says every third of that that it is. */
export const syncLeaseSeconds = 30;

/** Begins a sync of the app's source; undefined while another is under way. Returns the token that it ends with. */
export async function beginSourceSync(db: Kysely<DB>, appId: number): Promise<number | undefined> {
  const { rows } = await sql<{ runNo: number }>`
    insert into mirror.account_source as source (app_id, run_no, began_at, leased_until)
    values (${appId}, 1, clock_timestamp(), clock_timestamp() + ${syncLeaseSeconds} * interval '1 second')
    on conflict (app_id) do update set
      run_no = source.run_no + 1, began_at = excluded.began_at, leased_until = excluded.leased_until
    where source.leased_until is null or source.leased_until < clock_timestamp()
    returning run_no as "runNo"
  `.execute(db);
  return rows[0]?.runNo;
}

/** Says that a sync is alive; false when another has taken its place. */
export async function renewSourceSync(db: Kysely<DB>, appId: number, runNo: number): Promise<boolean> {
  const { numAffectedRows } = await sql`
    update mirror.account_source
    set leased_until = clock_timestamp() + ${syncLeaseSeconds} * interval '1 second'
    where app_id = ${appId} and run_no = ${runNo}
  `.execute(db);
  return numAffectedRows === 1n;
}

/** What a good sync found. */
export interface SourceStats {
  /** Different accounts that the source names. */
  readonly named: number;
  /** Rows that hold no account. */
  readonly bad: number;
  readonly enrolled: number;
  /** Enrolled accounts that the source has named and names no more. */
  readonly vanished: number;
  /** Of those, the ones taken out. */
  readonly removed: number;
}

/** Ends a sync: with what it found, with the sentence that says why it failed, or, aborted, with neither. */
export async function endSourceSync(
  db: Kysely<DB>,
  appId: number,
  runNo: number,
  came: { readonly figures: SourceStats } | { readonly failure: string } | undefined,
): Promise<void> {
  const free = sql`update mirror.account_source set leased_until = null`;
  const mine = sql`where app_id = ${appId} and run_no = ${runNo}`;
  if (came === undefined) {
    await sql`${free} ${mine}`.execute(db);
  } else if ('failure' in came) {
    await sql`
      ${free}, failure = ${came.failure}, failed_at = clock_timestamp(),
        failing_since = coalesce(failing_since, clock_timestamp())
      ${mine}
    `.execute(db);
  } else {
    const { named, bad, enrolled, vanished, removed } = came.figures;
    await sql`
      ${free}, synced_at = clock_timestamp(), named = ${named}, bad = ${bad}, enrolled = ${enrolled},
        vanished = ${vanished}, removed = ${removed}, failure = null, failed_at = null, failing_since = null
      ${mine}
    `.execute(db);
  }
}

/** How the syncs of an app's source have gone. Ages in seconds. */
export interface AccountSourceRow {
  readonly appId: number;
  readonly syncedAt: Date | null;
  readonly syncedAgo: number | null;
  readonly named: number | null;
  readonly bad: number | null;
  readonly enrolled: number | null;
  readonly vanished: number | null;
  readonly removed: number | null;
  readonly failingSince: Date | null;
  /** Null while syncs are well, and when none has been tried for two days. */
  readonly failingFor: number | null;
  readonly failedAt: Date | null;
  readonly failure: string | null;
  /** Since when a sync has been under way. */
  readonly runningSince: Date | null;
}

/** The sources of every app that has been synced. */
export async function readAccountSources(db: Kysely<DB>): Promise<readonly AccountSourceRow[]> {
  const { rows } = await sql<AccountSourceRow>`
    select
      app_id as "appId", synced_at as "syncedAt", named, bad, enrolled, vanished, removed,
      extract(epoch from now() - synced_at)::float8 as "syncedAgo",
      failing_since as "failingSince", failed_at as "failedAt", failure,
      case when failed_at > now() - interval '2 days'
        then extract(epoch from now() - failing_since)::float8 end as "failingFor",
      case when leased_until > now() then began_at end as "runningSince"
    from mirror.account_source
    where synced_at is not null or failure is not null or leased_until > now()
    order by app_id
  `.execute(db);
  return rows;
}

/** How the ids that a source names relate to the accounts of the app. */
interface NamedAccounts {
  /** Keys of those that it has named before. */
  readonly keys: readonly number[];
  /** Of those, the ones that an operator has taken out since. */
  readonly takenOut: number;
  /** Ids that it has not named before, sorted. */
  readonly fresh: readonly string[];
}

/** Looks up ids that a source names. Ids must be free of duplicates. Writes nothing. */
export async function findNamed(
  db: Kysely<DB>,
  appId: number,
  ids: readonly string[],
): Promise<NamedAccounts> {
  const { rows } = await sql<NamedAccounts>`
    select
      -- double precision: node-postgres gives an array of these as numbers
      coalesce(array_agg(account_key::float8) filter (where in_source), '{}') as keys,
      count(*) filter (where in_source and unenrolled_at is not null) as "takenOut",
      coalesce(array_agg(id order by id collate "C") filter (where in_source is not true), '{}') as fresh
    from unnest(${ids}::text[]) as given (id)
    -- Offset 0 has each id looked up in the index. Left to itself the planner sorts all accounts of the app where
    -- statistics are missing, as they are after a first import: 1 s for 5,000 ids among a million, instead of 30 ms.
    left join lateral (
      select account_key, in_source, unenrolled_at from mirror.account
      where app_id = ${appId} and account_id = given.id offset 0
    ) known on true
  `.execute(db);
  return rows[0] ?? { keys: [], takenOut: 0, fresh: [] };
}

/** Notes that the source names these accounts. Returns their keys. */
export async function markNamed(
  db: Kysely<DB>,
  appId: number,
  ids: readonly string[],
): Promise<readonly number[]> {
  const { rows } = await sql<{ key: number }>`
    with found as (
      -- In the order in which imports lock them.
      select account_key from mirror.account
      where app_id = ${appId} and account_id = any(${ids}::text[])
      order by account_id for no key update
    )
    update mirror.account set in_source = true
    -- As an array the keys are looked up; joined, all accounts are read for them.
    where account_key = any(array(select account_key from found))
    returning account_key as key
  `.execute(db);
  return rows.map(({ key }) => key);
}

/** Notes that the source names these accounts no more. */
export async function unmarkNamed(db: Kysely<DB>, keys: readonly number[]): Promise<void> {
  await sql`
    with found as (
      select account_key from mirror.account
      where account_key = any(${keys}::bigint[]) order by account_id for no key update
    )
    update mirror.account set in_source = false where account_key = any(array(select account_key from found))
  `.execute(db);
}

/** Has Postgres count again what the planner goes by: after a large import it knows nothing yet. */
export async function refreshAccountStatistics(db: Kysely<DB>): Promise<void> {
  await sql`analyze mirror.account`.execute(db);
}

/** An account that the source has named; `enrolled` is false when it was taken out. */
interface SourceAccount {
  readonly key: number;
  readonly enrolled: boolean;
}

/** The next accounts that the source of the app has named by now, in the order of their keys. */
export async function pageSourceAccounts(
  db: Kysely<DB>,
  appId: number,
  after: number,
  limit: number,
): Promise<readonly SourceAccount[]> {
  const { rows } = await sql<SourceAccount>`
    select account_key as key, unenrolled_at is null as enrolled from mirror.account
    where app_id = ${appId} and in_source and account_key > ${after}
    order by account_key limit ${limit}
  `.execute(db);
  return rows;
}

/** The ids of accounts, in the order of their keys. */
export async function readAccountIdsOf(db: Kysely<DB>, keys: readonly number[]): Promise<readonly string[]> {
  const { rows } = await sql<{ id: string }>`
    select account_id as id from mirror.account where account_key = any(${keys}::bigint[]) order by account_key
  `.execute(db);
  return rows.map(({ id }) => id);
}
