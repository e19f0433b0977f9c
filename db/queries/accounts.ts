import { type Kysely, sql, type Transaction } from 'kysely';
import type { DB } from '../schema.ts';
import { addActivity, namedEvent } from './activity.ts';
import { feedTxId } from './feed.ts';

/**
 * Enrols accounts at the head of the line; those taken out before come back. Accounts already enrolled stay as
 * they are. Returns how many were new. Ids must be free of duplicates and, so that two imports at once can't
 * lock each other out, sorted.
 */
export async function enrolAccounts(db: Kysely<DB>, appId: number, ids: readonly string[]): Promise<number> {
  const { rows } = await sql<{ enrolled: number }>`
    with enrolled as (
      insert into mirror.account (app_id, account_id)
      select ${appId}, id from unnest(${ids}::text[]) as new_account (id)
      on conflict (app_id, account_id) do update set unenrolled_at = null, enrolled_at = now()
        where mirror.account.unenrolled_at is not null
      returning account_key, last_claim_no
    ), lined_up as (
      insert into mirror.poll_state (account_key, app_id, due_v, claim_no)
      select account_key, ${appId}, virtual_clock, last_claim_no
      from enrolled, mirror.app where app_id = ${appId}
      returning 1
    )
    select count(*) as enrolled from lined_up
  `.execute(db);
  return rows[0]?.enrolled ?? 0;
}

/**
 * Enrols accounts that callbacks or responses have named, and that the app has never had: one that an operator took out stays
 * out. Returns how many were new. Ids as for `enrolAccounts`.
 */
export async function discoverAccounts(
  db: Kysely<DB>,
  appId: number,
  ids: readonly string[],
): Promise<number> {
  if (ids.length === 0) return 0;
  const { rows } = await sql<{ enrolled: number }>`
    with enrolled as (
      insert into mirror.account (app_id, account_id)
      select ${appId}, id from unnest(${ids}::text[]) as mentioned (id)
      where not exists (select from mirror.account where app_id = ${appId} and account_id = id)
      on conflict (app_id, account_id) do nothing
      returning account_key
    ), lined_up as (
      insert into mirror.poll_state (account_key, app_id, due_v)
      select account_key, ${appId}, virtual_clock
      from enrolled, mirror.app where app_id = ${appId}
      returning 1
    )
    select count(*) as enrolled from lined_up
  `.execute(db);
  return rows[0]?.enrolled ?? 0;
}

/**
 * Enrols accounts that a callback has named, as `discoverAccounts` does: at most `perHour` within an hour, by all
 * processes together. Returns how many were new, and how many were left out.
 */
export function discoverNamed(
  db: Kysely<DB>,
  appId: number,
  ids: readonly string[],
  perHour: number,
): Promise<{ readonly enrolled: number; readonly leftOut: number }> {
  return db.transaction().execute(async (trx) => {
    // One process at a time counts and adds.
    await sql`select pg_advisory_xact_lock(hashtext('tim-mirror discovery'), hashtext(${String(appId)}))`.execute(
      trx,
    );
    const { rows } = await sql<{ id: string; room: number }>`
      select id, greatest(0, ${perHour} - (
        select coalesce(sum(count), 0) from mirror.activity
        where app_id = ${appId} and event = ${namedEvent} and bucket > clock_timestamp() - interval '1 hour'
      ))::float8 as room
      from unnest(${ids}::text[]) as mentioned (id)
      where not exists (select from mirror.account where app_id = ${appId} and account_id = id)
      order by id
    `.execute(trx);
    const taken = rows.slice(0, rows[0]?.room ?? 0).map(({ id }) => id);
    const enrolled = await discoverAccounts(trx, appId, taken);
    if (enrolled > 0) await addActivity(trx, [{ appId, event: namedEvent, count: enrolled }]);
    return { enrolled, leftOut: rows.length - taken.length };
  });
}

/** An account that no other process writes while its claim number stays as it is. */
interface FencedAccount {
  readonly accountKey: number;
  readonly claimNo: number;
}

/**
 * Claims enrolled accounts away from the workers that poll them, before they are taken out. It must be committed first: a
 * transaction begun after that has a greater number than that of any writer, and so the change feed, which is read
 * in the order of these numbers, reports the end of an account after everything else of it.
 */
export async function fenceAccounts(
  db: Kysely<DB>,
  appId: number,
  ids: readonly string[],
  leaseSeconds: number,
): Promise<readonly FencedAccount[]> {
  const { rows } = await sql<FencedAccount>`
    update mirror.poll_state state set
      claim_no = claim_no + 1,
      leased_until = clock_timestamp() + ${leaseSeconds} * interval '1 second'
    from mirror.account
    where account.account_key = state.account_key
      and account.app_id = ${appId} and account.account_id = any(${ids}::text[])
    returning state.account_key as "accountKey", state.claim_no as "claimNo"
  `.execute(db);
  return rows;
}

/**
 * Takes fenced accounts out: they are polled no more, and what the mirror held of them ends now, as the change feed
 * reports. Their past stays. Returns the ids taken out; not among them are those claimed by another process since.
 */
export async function unenrolAccounts(
  trx: Transaction<DB>,
  appId: number,
  fenced: readonly FencedAccount[],
): Promise<readonly string[]> {
  const { rows } = await sql<{ key: number; id: string }>`
    with stopped as (
      delete from mirror.poll_state state
      using unnest(
        ${fenced.map((account) => account.accountKey)}::bigint[], ${fenced.map((account) => account.claimNo)}::integer[]
      ) as fenced (account_key, claim_no)
      where state.account_key = fenced.account_key and state.claim_no = fenced.claim_no
      returning state.account_key, state.claim_no
    )
    update mirror.account set unenrolled_at = now(), last_claim_no = stopped.claim_no
    from stopped where account.account_key = stopped.account_key
    returning account.account_key as key, account_id as id
  `.execute(trx);
  const keys = rows.map((row) => row.key);
  if (keys.length === 0) return [];

  await sql`delete from mirror.held_removal where account_key = any(${keys}::bigint[])`.execute(trx);
  await sql`delete from mirror.shrunk_account where account_key = any(${keys}::bigint[])`.execute(trx);
  await sql`delete from mirror.poll_outcome where account_key = any(${keys}::bigint[])`.execute(trx);
  await sql`
    insert into mirror.change (app_id, account_key, kind, group_name, friend_id, observed_at, tx_id)
    select ${appId}, account_key, kind, group_name, friend_id, now(), ${feedTxId} from (
      select account_key, 'member_removed'::mirror.change_kind as kind, group_name, friend_id
      from mirror.friend_group
      join mirror.friend_group_member member using (group_key)
      where account_key = any(${keys}::bigint[])
        and friend_group.removed_at is null and member.removed_at is null
      union all
      select account_key, 'group_removed', group_name, null
      from mirror.friend_group
      where account_key = any(${keys}::bigint[]) and removed_at is null
    ) ended
    -- Members before their group.
    order by account_key, friend_id is null, group_name, friend_id
  `.execute(trx);
  await sql`
    update mirror.friend_group_member member set removed_at = greatest(member.added_at, now())
    from mirror.friend_group
    where friend_group.group_key = member.group_key
      and friend_group.account_key = any(${keys}::bigint[]) and member.removed_at is null
  `.execute(trx);
  await sql`
    update mirror.friend_group set removed_at = greatest(added_at, now())
    where account_key = any(${keys}::bigint[]) and removed_at is null
  `.execute(trx);
  return rows.map((row) => row.id);
}

/** Deletes all trace of accounts that are not enrolled, their past and their changes too. Returns how many. */
export async function purgeAccounts(
  trx: Transaction<DB>,
  appId: number,
  ids: readonly string[],
): Promise<number> {
  const { rows } = await sql<{ key: number }>`
    select account_key as key from mirror.account
    where app_id = ${appId} and account_id = any(${ids}::text[]) and unenrolled_at is not null
    for update
  `.execute(trx);
  const keys = rows.map((row) => row.key);
  if (keys.length === 0) return 0;
  await sql`delete from mirror.change where account_key = any(${keys}::bigint[])`.execute(trx);
  await sql`
    delete from mirror.friend_group_member using mirror.friend_group
    where friend_group.group_key = friend_group_member.group_key
      and friend_group.account_key = any(${keys}::bigint[]) and friend_group_member.removed_at is not null
  `.execute(trx);
  await sql`delete from mirror.friend_group where account_key = any(${keys}::bigint[])`.execute(trx);
  await sql`delete from mirror.account where account_key = any(${keys}::bigint[])`.execute(trx);
  return keys.length;
}

/** Puts accounts first in the queue. An answer that is under way does not count as their poll. */
export async function requestPoll(db: Kysely<DB>, appId: number, ids: readonly string[]): Promise<void> {
  await sql`
    update mirror.poll_state set due_v = '-infinity'
    from mirror.account
    where account.account_key = poll_state.account_key
      and account.app_id = ${appId} and account.account_id = any(${ids}::text[])
  `.execute(db);
}

/** What the last poll of an account left behind. */
export interface AccountOutcome {
  readonly accountId: string;
  readonly status: string;
  readonly sequence: number | null;
  readonly groupCount: number;
  readonly verifiedAt: Date | null;
  readonly changedAt: Date | null;
  readonly pendingAt: Date | null;
  readonly failedAt: Date | null;
  readonly errorCode: number | null;
  readonly error: string | null;
}

/** The last outcomes of enrolled accounts, and Postgres' time. */
export async function readOutcomes(
  db: Kysely<DB>,
  appId: number,
  ids: readonly string[],
): Promise<readonly AccountOutcome[]> {
  const { rows } = await sql<AccountOutcome>`
    select
      account.account_id as "accountId",
      state.status::text as status,
      state.sequence,
      state.group_count as "groupCount",
      state.verified_at as "verifiedAt",
      state.changed_at as "changedAt",
      state.pending_at as "pendingAt",
      failure.at as "failedAt",
      failure.code as "errorCode",
      failure.message as error
    from mirror.account
    join mirror.poll_state state using (account_key)
    left join lateral (
      select at, code, message from mirror.poll_outcome
      where poll_outcome.account_key = account.account_key and code is not null
      order by claim_no desc limit 1
    ) failure on true
    where account.app_id = ${appId} and account.account_id = any(${ids}::text[])
    order by account.account_id
  `.execute(db);
  return rows;
}
