import { type Kysely, sql, type Transaction } from 'kysely';
import type { DB, MirrorChangeKind } from '../schema.ts';
import { feedTxId } from './feed.ts';

export type ChangeKind = MirrorChangeKind;

/** Milliseconds of Postgres' clock as a timestamp; a JavaScript Date would cut off the microseconds. */
function instant(ms: number) {
  return sql`to_timestamp(${ms}::float8 / 1000)`;
}

/** One group as the mirror holds it now. */
export interface MirroredGroup {
  readonly groupKey: number;
  readonly name: string;
  readonly friendNumber: number;
  readonly members: readonly string[];
}

/** Names of the groups the mirror holds for an account. */
export async function loadGroupNames(db: Kysely<DB>, accountKey: number): Promise<readonly string[]> {
  const rows = await db
    .selectFrom('mirror.friend_group')
    .select('group_name')
    .where('account_key', '=', accountKey)
    .where('removed_at', 'is', null)
    .execute();
  return rows.map((row) => row.group_name);
}

/** An account's groups and members as the mirror holds them. */
export async function loadGroups(db: Kysely<DB>, accountKey: number): Promise<readonly MirroredGroup[]> {
  const { rows } = await sql<MirroredGroup>`
    select
      friend_group.group_key as "groupKey",
      friend_group.group_name as name,
      friend_group.friend_number as "friendNumber",
      array(
        select member.friend_id from mirror.friend_group_member member
        where member.group_key = friend_group.group_key and member.removed_at is null
      ) as members
    from mirror.friend_group
    where account_key = ${accountKey} and removed_at is null
  `.execute(db);
  return rows;
}

/** What a claim names: an account of an app, by key and id, for a key alone may be another account's in another mirror. */
interface ClaimRef {
  readonly accountKey: number;
  readonly accountId: string;
  readonly claimNo: number;
}

/**
 * Rows in one statement: one of the largest answers is 96,000, and their parameters would keep the event loop, and the
 * statement, busy for seconds.
 */
const rowsAtOnce = 5000;

function* inParts<T>(rows: readonly T[]): Generator<readonly T[]> {
  for (let from = 0; from < rows.length; from += rowsAtOnce) yield rows.slice(from, from + rowsAtOnce);
}

/** An account that no other session writes until the transaction ends. Times in milliseconds. */
export interface LockedAccount {
  /** When its state was last proved or changed; 0 for never. */
  readonly lastAt: number;
  readonly now: number;
  /** Whether removals of its app are held at this moment. */
  readonly removalsHeld: boolean;
}

/**
 * Locks an account's state for writing its groups. Undefined when the claim is not the newest any more or has had its
 * outcome, the account was taken out, or the key is that of another account or app.
 */
export async function lockAccount(
  trx: Transaction<DB>,
  appId: number,
  claim: ClaimRef,
): Promise<LockedAccount | undefined> {
  const { rows } = await sql<LockedAccount>`
    select
      coalesce(extract(epoch from greatest(verified_at, changed_at))::float8 * 1000, 0) as "lastAt",
      extract(epoch from clock_timestamp())::float8 * 1000 as now,
      app.removals_held_at is not null as "removalsHeld"
    from mirror.poll_state state
    join mirror.account using (account_key)
    join mirror.app on app.app_id = state.app_id
    where state.account_key = ${claim.accountKey} and state.app_id = ${appId}
      and account.account_id = ${claim.accountId}
      and claim_no = ${claim.claimNo} and leased_until is not null
    for update of state
  `.execute(trx);
  return rows[0];
}

/** Begins groups; returns their keys by name. */
export async function insertGroups(
  trx: Transaction<DB>,
  accountKey: number,
  at: number,
  groups: readonly { readonly name: string; readonly friendNumber: number }[],
): Promise<ReadonlyMap<string, number>> {
  if (groups.length === 0) return new Map();
  const { rows } = await sql<{ groupKey: number; name: string }>`
    insert into mirror.friend_group (account_key, group_name, friend_number, added_at)
    select ${accountKey}, name, friend_number, ${instant(at)}
    from unnest(${groups.map((group) => group.name)}::text[], ${groups.map((group) => group.friendNumber)}::integer[])
      as new_group (name, friend_number)
    returning group_key as "groupKey", group_name as name
  `.execute(trx);
  return new Map(rows.map((row) => [row.name, row.groupKey]));
}

/** A friend in a group. */
export interface Membership {
  readonly groupKey: number;
  readonly friendId: string;
}

/**
 * Begins memberships. The account must be locked, for no index of the table keeps a friend from being in a group twice:
 * the statement leaves out members that are there, and the error then undoes the transaction.
 */
export async function insertMembers(
  trx: Transaction<DB>,
  at: number,
  members: readonly Membership[],
): Promise<void> {
  for (const part of inParts(members)) await insertPart(trx, at, part);
}

async function insertPart(trx: Transaction<DB>, at: number, members: readonly Membership[]): Promise<void> {
  const { numAffectedRows } = await sql`
    insert into mirror.friend_group_member (group_key, friend_id, added_at)
    select group_key, friend_id, ${instant(at)}
    from unnest(${members.map((member) => member.groupKey)}::bigint[], ${members.map((member) => member.friendId)}::text[])
      as new_member (group_key, friend_id)
    where not exists (
      select from mirror.friend_group_member current
      where current.group_key = new_member.group_key and current.friend_id = new_member.friend_id collate "C"
        and current.removed_at is null
      -- Keeps it a look-up for each member: as a join, 5,000 members at once have the whole table read.
      offset 0
    )
  `.execute(trx);
  if (Number(numAffectedRows ?? 0n) !== members.length)
    throw new Error('a member that is in the group already was to be added to it');
}

/** Ends memberships that are there now. */
export async function endMembers(
  trx: Transaction<DB>,
  at: number,
  members: readonly Membership[],
): Promise<void> {
  for (const part of inParts(members)) await endPart(trx, at, part);
}

async function endPart(trx: Transaction<DB>, at: number, members: readonly Membership[]): Promise<void> {
  await sql`
    update mirror.friend_group_member member set removed_at = greatest(member.added_at, ${instant(at)})
    from unnest(${members.map((member) => member.groupKey)}::bigint[], ${members.map((member) => member.friendId)}::text[])
      as gone (group_key, friend_id)
    where member.group_key = gone.group_key and member.friend_id = gone.friend_id collate "C"
      and member.removed_at is null
  `.execute(trx);
}

/** Ends groups that are there now; their members have been ended before. */
export async function endGroups(
  trx: Transaction<DB>,
  at: number,
  groupKeys: readonly number[],
): Promise<void> {
  if (groupKeys.length === 0) return;
  await sql`
    update mirror.friend_group set removed_at = greatest(added_at, ${instant(at)})
    where group_key = any(${groupKeys}::bigint[]) and removed_at is null
  `.execute(trx);
}

/** Stores the vendor's own counts. */
export async function setFriendNumbers(
  trx: Transaction<DB>,
  groups: readonly { readonly groupKey: number; readonly friendNumber: number }[],
): Promise<void> {
  if (groups.length === 0) return;
  await sql`
    update mirror.friend_group set friend_number = counted.friend_number
    from unnest(${groups.map((group) => group.groupKey)}::bigint[], ${groups.map((group) => group.friendNumber)}::integer[])
      as counted (group_key, friend_number)
    where mirror.friend_group.group_key = counted.group_key
  `.execute(trx);
}

/** One line of the change feed. */
export interface Change {
  readonly kind: ChangeKind;
  readonly groupName: string;
  readonly friendId: string | null;
  /** Of a group that was renamed. */
  readonly oldGroupName?: string;
}

/** Whose lines of the change feed they are, read at which sequence, and when. */
interface ChangeOrigin {
  readonly appId: number;
  readonly accountKey: number;
  readonly sequence: number | null;
  readonly at: number;
}

/** Appends to the change feed, numbered in the order given. */
export async function insertChanges(
  trx: Transaction<DB>,
  of: ChangeOrigin,
  changes: readonly Change[],
): Promise<void> {
  for (const part of inParts(changes)) await insertChangePart(trx, of, part);
}

async function insertChangePart(
  trx: Transaction<DB>,
  of: ChangeOrigin,
  changes: readonly Change[],
): Promise<void> {
  await sql`
    insert into mirror.change
      (app_id, account_key, kind, group_name, friend_id, observed_at, sequence, old_group_name, tx_id)
    select
      ${of.appId}, ${of.accountKey}, kind, group_name, friend_id, ${instant(of.at)}, ${of.sequence}, old_group_name,
      ${feedTxId}
    from unnest(
      ${changes.map((change) => change.kind)}::mirror.change_kind[],
      ${changes.map((change) => change.groupName)}::text[],
      ${changes.map((change) => change.friendId)}::text[],
      ${changes.map((change) => change.oldGroupName ?? null)}::text[]
    ) with ordinality as new_change (kind, group_name, friend_id, old_group_name, place)
    order by place
  `.execute(trx);
}
