import { type Kysely, sql } from 'kysely';
import type { DB } from '../schema.ts';
import type { ClaimedAccount } from './claims.ts';

/** The state of an account after a poll, and how far ahead in virtual time its next one lies; null: in its old place. */
export interface PollRecord extends Omit<ClaimedAccount, 'accountId'> {
  readonly stride: number | null;
}

export interface PollFailure {
  readonly accountKey: number;
  readonly claimNo: number;
  readonly kind: string;
  readonly code: number;
  readonly message: string;
}

/**
 * Writes the outcome of any number of polls in one statement. A record whose claim is not the newest is dropped,
 * and so is one of an account taken out meanwhile. An account put first in line while it was polled stays there,
 * because the answer may be older than the wish. Returns the accounts written.
 */
export async function recordPolls(
  db: Kysely<DB>,
  appId: number,
  records: readonly PollRecord[],
): Promise<ReadonlySet<number>> {
  if (records.length === 0) return new Set();
  const { rows } = await sql<{ accountKey: number }>`
    update mirror.poll_state state set
      due_v = case
        when state.due_v = '-infinity' or record.stride is null then state.due_v
        else app.virtual_clock + record.stride
      end,
      leased_until = null,
      weight = record.weight,
      change_mass = record.change_mass,
      sequence = record.sequence,
      status = record.status,
      group_count = record.group_count,
      fail_count = record.fail_count,
      first_polled_at = to_timestamp(record.first_polled_at / 1000),
      -- Never in the future, and never back, whatever the clocks do.
      verified_at = case when record.verified_at is not null then
        greatest(state.verified_at, least(clock_timestamp(), to_timestamp(record.verified_at / 1000)))
      end,
      full_read_at = to_timestamp(record.full_read_at / 1000),
      changed_at = to_timestamp(record.changed_at / 1000),
      pending_at = to_timestamp(record.pending_at / 1000),
      content_hash = decode(record.content_hash, 'hex'),
      pending_hash = decode(record.pending_hash, 'hex')
    from mirror.app, json_to_recordset(${JSON.stringify(records.map(toRow))}::json) as record (
      account_key bigint,
      claim_no integer,
      stride float8,
      weight float8,
      change_mass float8,
      sequence bigint,
      status mirror.account_status,
      group_count integer,
      fail_count integer,
      first_polled_at float8,
      verified_at float8,
      full_read_at float8,
      changed_at float8,
      pending_at float8,
      content_hash text,
      pending_hash text
    )
    where app.app_id = ${appId}
      and state.account_key = record.account_key
      and state.claim_no = record.claim_no
    returning state.account_key as "accountKey"
  `.execute(db);
  return new Set(rows.map((row) => row.accountKey));
}

/** Keeps why polls failed, in the vendor's words; dropped like a record whose claim is not the newest. */
export async function recordFailures(db: Kysely<DB>, failures: readonly PollFailure[]): Promise<void> {
  if (failures.length === 0) return;
  await sql`
    insert into mirror.poll_failure (account_key, failed_at, kind, code, message)
    select account_key, clock_timestamp(), kind, code, message
    from json_to_recordset(${JSON.stringify(failures.map(failureToRow))}::json) as failure (
      account_key bigint, claim_no integer, kind text, code integer, message text
    )
    join mirror.poll_state using (account_key, claim_no)
    on conflict (account_key) do update set
      failed_at = excluded.failed_at, kind = excluded.kind, code = excluded.code, message = excluded.message
  `.execute(db);
}

function toRow(record: PollRecord) {
  return {
    account_key: record.accountKey,
    claim_no: record.claimNo,
    stride: record.stride,
    weight: record.weight,
    change_mass: record.changeMass,
    sequence: record.sequence,
    status: record.status,
    group_count: record.groupCount,
    fail_count: record.failCount,
    first_polled_at: record.firstPolledAt,
    verified_at: record.verifiedAt,
    full_read_at: record.fullReadAt,
    changed_at: record.changedAt,
    pending_at: record.pendingAt,
    content_hash: record.contentHash,
    pending_hash: record.pendingHash,
  };
}

function failureToRow(failure: PollFailure) {
  return {
    account_key: failure.accountKey,
    claim_no: failure.claimNo,
    kind: failure.kind,
    code: failure.code,
    message: failure.message,
  };
}
