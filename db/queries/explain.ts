import { type Kysely, sql } from 'kysely';
import type { DB } from '../schema.ts';

/** All that is known of one account. */
export interface AccountRecord {
  readonly appId: number;
  readonly accountId: string;
  readonly accountKey: number;
  readonly enrolledAt: Date;
  /** Whether the app's source of accounts names it. */
  readonly inSource: boolean;
  readonly status: string;
  readonly sequence: number | null;
  readonly groups: number;
  readonly members: number;
  /** Groups in which the vendor counts more friends than it lists. */
  readonly shortGroups: number;
  readonly firstPolledAt: Date | null;
  readonly verifiedAt: Date | null;
  readonly fullReadAt: Date | null;
  readonly changedAt: Date | null;
  readonly pendingAt: Date | null;
  readonly leasedUntil: Date | null;
  readonly failCount: number;
  /** Claims so far: each is a poll, or was aborted. */
  readonly claims: number;
  readonly decayedChanges: number;
  readonly weight: number;
  /** Units of virtual time until its turn; negative when it is due, null at the head of the line. */
  readonly unitsLeft: number | null;
  readonly held: { readonly groups: number; readonly members: number; readonly heldAt: string } | null;
  readonly now: Date;
}

/** Reads one enrolled account; undefined when there is none. */
export async function readAccount(
  db: Kysely<DB>,
  appId: number,
  accountId: string,
): Promise<AccountRecord | undefined> {
  const { rows } = await sql<AccountRecord>`
    select
      account.app_id as "appId",
      account.account_id as "accountId",
      account.account_key as "accountKey",
      account.enrolled_at as "enrolledAt",
      account.in_source as "inSource",
      state.status::text as status,
      state.sequence,
      (
        select count(*) from mirror.friend_group
        where friend_group.account_key = account.account_key and removed_at is null
      ) as groups,
      (
        select count(*) from mirror.friend_group
        join mirror.friend_group_member member using (group_key)
        where friend_group.account_key = account.account_key
          and friend_group.removed_at is null and member.removed_at is null
      ) as members,
      (
        select count(*) from mirror.friend_group
        where friend_group.account_key = account.account_key and removed_at is null
          and friend_number > (
            select count(*) from mirror.friend_group_member member
            where member.group_key = friend_group.group_key and member.removed_at is null
          )
      ) as "shortGroups",
      state.first_polled_at as "firstPolledAt",
      state.verified_at as "verifiedAt",
      state.full_read_at as "fullReadAt",
      state.changed_at as "changedAt",
      state.pending_at as "pendingAt",
      case when state.leased_until > clock_timestamp() then state.leased_until end as "leasedUntil",
      state.fail_count as "failCount",
      state.claim_no as claims,
      state.change_mass as "decayedChanges",
      state.weight,
      case when state.due_v > '-infinity' then state.due_v - app.virtual_clock end as "unitsLeft",
      (
        select json_build_object('groups', groups, 'members', members, 'heldAt', held_at)
        from mirror.held_removal held where held.account_key = account.account_key
      ) as held,
      clock_timestamp() as now
    from mirror.account
    join mirror.poll_state state using (account_key)
    join mirror.app on app.app_id = account.app_id
    where account.app_id = ${appId} and account.account_id = ${accountId}
  `.execute(db);
  return rows[0];
}

/** An outcome of a poll that was more than "nothing new". */
export interface AccountOutcomeRow {
  readonly claimNo: number;
  readonly at: Date;
  readonly outcome: string;
  readonly code: number | null;
  readonly message: string | null;
}

/** The last outcomes of an account, newest first. */
export async function readAccountOutcomes(
  db: Kysely<DB>,
  accountKey: number,
): Promise<readonly AccountOutcomeRow[]> {
  const rows = await db
    .selectFrom('mirror.poll_outcome')
    .selectAll()
    .where('account_key', '=', accountKey)
    .orderBy('claim_no', 'desc')
    .execute();
  return rows.map((row) => ({
    claimNo: row.claim_no,
    at: row.at,
    outcome: row.outcome,
    code: row.code,
    message: row.message,
  }));
}

/** An account that is set aside, and the vendor's words for it. */
interface QuarantinedAccount {
  readonly appId: number;
  readonly accountId: string;
  readonly since: Date | null;
  readonly code: number | null;
  readonly message: string | null;
}

/** Accounts that are set aside, newest first, at most `limit` of them. */
export async function readQuarantined(db: Kysely<DB>, limit: number): Promise<readonly QuarantinedAccount[]> {
  const { rows } = await sql<QuarantinedAccount>`
    select
      state.app_id as "appId", account.account_id as "accountId",
      last.at as since, last.code, last.message
    from mirror.poll_state state
    join mirror.account using (account_key)
    left join lateral (
      select at, code, message from mirror.poll_outcome
      where poll_outcome.account_key = state.account_key order by claim_no desc limit 1
    ) last on true
    where state.status = 'quarantined'
    order by last.at desc nulls last
    limit ${limit}
  `.execute(db);
  return rows;
}
