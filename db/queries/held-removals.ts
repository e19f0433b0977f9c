import { type Kysely, sql, type Transaction } from 'kysely';
import type { DB } from '../schema.ts';

/** What would go from an account. */
export interface HeldRemoval {
  readonly appId: number;
  readonly accountKey: number;
  readonly groups: number;
  readonly members: number;
}

/** Notes what would go from an account, in place of what was noted before. */
export async function holdRemoval(trx: Transaction<DB>, held: HeldRemoval): Promise<void> {
  await sql`
    insert into mirror.held_removal (account_key, app_id, groups, members)
    values (${held.accountKey}, ${held.appId}, ${held.groups}, ${held.members})
    on conflict (account_key) do update
      set groups = excluded.groups, members = excluded.members, released_at = null
  `.execute(trx);
}

/** The account's removals have been let through, or the vendor does not repeat them. */
export async function forgetHeldRemoval(trx: Transaction<DB>, accountKey: number): Promise<void> {
  await trx.deleteFrom('mirror.held_removal').where('account_key', '=', accountKey).execute();
}

/** Whether an operator has let the account's removals through. */
export async function isReleased(trx: Transaction<DB>, accountKey: number): Promise<boolean> {
  const row = await trx
    .selectFrom('mirror.held_removal')
    .select('released_at')
    .where('account_key', '=', accountKey)
    .executeTakeFirst();
  return row?.released_at != null;
}

/** How many accounts shrank, of how many that were read, within how many seconds. */
interface Trip {
  readonly shrunk: number;
  readonly read: number;
  readonly windowSeconds: number;
}

/** Holds the removals of an app. False when they are held already, or the operator has released them for a while. */
export async function holdRemovals(db: Kysely<DB>, appId: number, trip: Trip): Promise<boolean> {
  const result = await sql`
    update mirror.app set
      removals_held_at = clock_timestamp(),
      removals_shrunk = ${trip.shrunk},
      removals_read = ${trip.read},
      removals_window_seconds = ${trip.windowSeconds}
    where app_id = ${appId}
      and removals_held_at is null
      and coalesce(removals_free_until < clock_timestamp(), true)
  `.execute(db);
  return (result.numAffectedRows ?? 0n) > 0n;
}

/**
 * Lets the held removals of an app through: its accounts are read first and what the vendor then answers is written. Until
 * `bypassSeconds` have passed the breaker stays out. Returns how many accounts; undefined when nothing was held.
 */
export async function releaseRemovals(
  trx: Transaction<DB>,
  appId: number,
  bypassSeconds: number,
): Promise<number | undefined> {
  if (!(await endHold(trx, appId, bypassSeconds))) return undefined;
  const { rows } = await sql<{ key: number }>`
    update mirror.held_removal set released_at = clock_timestamp()
    where app_id = ${appId} and released_at is null
    returning account_key as key
  `.execute(trx);
  await readFirst(
    trx,
    rows.map((row) => row.key),
  );
  return rows.length;
}

/** Forgets the held removals of an app: its accounts are read again, as if they had not been read before. */
export async function discardRemovals(trx: Transaction<DB>, appId: number): Promise<number | undefined> {
  if (!(await endHold(trx, appId, 0))) return undefined;
  const { rows } = await sql<{ key: number }>`
    delete from mirror.held_removal where app_id = ${appId} returning account_key as key
  `.execute(trx);
  await readFirst(
    trx,
    rows.map((row) => row.key),
  );
  // First reads of the same wrong answers must not be taken for the first of two that agree; neither by a poll
  // that is under way, which the fencing token drops.
  await sql`
    update mirror.poll_state set
      pending_hash = null, pending_at = null, full_read_at = null,
      claim_no = claim_no + 1, leased_until = null
    where app_id = ${appId} and pending_hash is not null
  `.execute(trx);
  return rows.length;
}

async function endHold(trx: Transaction<DB>, appId: number, bypassSeconds: number): Promise<boolean> {
  const result = await sql`
    update mirror.app set
      removals_held_at = null,
      removals_shrunk = null,
      removals_read = null,
      removals_window_seconds = null,
      -- Until then, and what shrank before then has been looked at: only what comes later counts.
      removals_free_until = clock_timestamp() + ${bypassSeconds} * interval '1 second'
    where app_id = ${appId} and removals_held_at is not null
  `.execute(trx);
  return (result.numAffectedRows ?? 0n) > 0n;
}

async function readFirst(trx: Transaction<DB>, keys: readonly number[]): Promise<void> {
  await sql`
    update mirror.poll_state set due_v = '-infinity', full_read_at = null
    where account_key = any(${keys}::bigint[])
  `.execute(trx);
}

/** How many accounts, and how many of their groups and members, of rows that each name an account's. */
export const removalTotals = sql`
  count(*) as accounts, coalesce(sum(groups), 0)::bigint as groups, coalesce(sum(members), 0)::bigint as members
`;

/** The held removals of an app: how much, and the largest of them. */
interface HeldRemovals {
  readonly accounts: number;
  readonly groups: number;
  readonly members: number;
  readonly examples: readonly {
    readonly accountId: string;
    readonly groups: number;
    readonly members: number;
    readonly heldAt: Date;
  }[];
  /** Accounts whose last answer waits for a second read that agrees, which is no matter for an operator. */
  readonly awaitingConfirmation: number;
}

/** Reads what is held of an app's removals, with up to `limit` examples, the largest first. */
export async function readHeldRemovals(db: Kysely<DB>, appId: number, limit: number): Promise<HeldRemovals> {
  const totals = await sql<{ accounts: number; groups: number; members: number; awaiting: number }>`
    select
      ${removalTotals},
      (select count(*) from mirror.poll_state where app_id = ${appId} and pending_hash is not null) as awaiting
    from mirror.held_removal where app_id = ${appId} and released_at is null
  `.execute(db);
  const examples = await sql<HeldRemovals['examples'][number]>`
    select account_id as "accountId", groups, members, held_at as "heldAt"
    from mirror.held_removal join mirror.account using (account_key)
    where held_removal.app_id = ${appId} and released_at is null
    order by members desc, account_id
    limit ${limit}
  `.execute(db);
  const [total] = totals.rows;
  return {
    accounts: total?.accounts ?? 0,
    groups: total?.groups ?? 0,
    members: total?.members ?? 0,
    examples: examples.rows,
    awaitingConfirmation: total?.awaiting ?? 0,
  };
}
