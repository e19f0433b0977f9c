import { sql, type Transaction } from 'kysely';
import type { DB, MirrorAccountStatus } from '../schema.ts';

type AccountStatus = MirrorAccountStatus;

/**
 * An account handed to a poll worker, with its state at the claim. As long as no other worker has claimed it
 * (`claimNo`), the state still holds. Times in milliseconds of Postgres' clock, hashes in hex.
 */
export interface ClaimedAccount {
  readonly accountKey: number;
  readonly accountId: string;
  readonly claimNo: number;
  readonly status: AccountStatus;
  readonly sequence: number | null;
  readonly weight: number;
  readonly decayedChanges: number;
  readonly groupCount: number;
  readonly failCount: number;
  readonly firstPolledAt: number | null;
  readonly verifiedAt: number | null;
  readonly fullReadAt: number | null;
  readonly changedAt: number | null;
  readonly pendingAt: number | null;
  readonly contentHash: string | null;
  readonly pendingHash: string | null;
}

export interface ClaimRequest {
  readonly appId: number;
  /** Accounts that were polled before, those that never were, or those of either that have probably changed. */
  readonly queue: 'known' | 'never_polled' | 'hinted';
  readonly places: number;
  readonly virtualClock: number;
  readonly ceiling: number;
  readonly leaseSeconds: number;
}

interface Claim {
  readonly accounts: readonly ClaimedAccount[];
  /** Of the due times claimed; undefined when nothing was. */
  readonly largestDue: number | undefined;
}

const none: Claim = { accounts: [], largestDue: undefined };

/**
 * Claims the head of one queue. A claim takes a lease and raises the fencing token; the account keeps its place,
 * so that it is the next again when the lease ends. Rows that another session has locked are skipped.
 */
export async function claimDue(trx: Transaction<DB>, request: ClaimRequest): Promise<Claim> {
  if (request.places <= 0) return none;
  const byDue = sql`due_v <= ${request.ceiling}`;
  const queue = {
    known: sql`first_polled_at is not null and ${byDue}`,
    never_polled: sql`first_polled_at is null and ${byDue}`,
    hinted: sql`hinted_at <= clock_timestamp()`,
  }[request.queue];
  const order = request.queue === 'hinted' ? sql`hinted_at` : sql`due_v`;
  const { rows } = await sql<ClaimedAccount & { due: number }>`
    with picked as materialized (
      select account_key, due_v
      from mirror.poll_state
      where app_id = ${request.appId} and ${queue}
        and (leased_until is null or leased_until < clock_timestamp())
      order by ${order}
      limit ${request.places}
      for update skip locked
    )
    update mirror.poll_state state
    set
      -- The request or hint that made it the first is being granted; one that comes from now on is a new one.
      due_v = case when state.due_v = '-infinity' then ${request.virtualClock}::float8 else state.due_v end,
      hinted_at = null,
      leased_until = clock_timestamp() + ${request.leaseSeconds} * interval '1 second',
      claim_no = state.claim_no + 1
    from picked
    join mirror.account using (account_key)
    where state.account_key = picked.account_key
    returning
      state.account_key as "accountKey",
      account.account_id as "accountId",
      state.claim_no as "claimNo",
      state.status::text as status,
      state.sequence,
      state.weight,
      state.change_mass as "decayedChanges",
      state.group_count as "groupCount",
      state.fail_count as "failCount",
      extract(epoch from state.first_polled_at)::float8 * 1000 as "firstPolledAt",
      extract(epoch from state.verified_at)::float8 * 1000 as "verifiedAt",
      extract(epoch from state.full_read_at)::float8 * 1000 as "fullReadAt",
      extract(epoch from state.changed_at)::float8 * 1000 as "changedAt",
      extract(epoch from state.pending_at)::float8 * 1000 as "pendingAt",
      encode(state.content_hash, 'hex') as "contentHash",
      encode(state.pending_hash, 'hex') as "pendingHash",
      picked.due_v as due
  `.execute(trx);
  const inOrder = rows.toSorted((a, b) => a.due - b.due);
  return {
    accounts: inOrder.map(({ due: _, ...account }) => account),
    largestDue: inOrder.at(-1)?.due,
  };
}
