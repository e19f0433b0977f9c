import { type Kysely, sql } from 'kysely';
import type { DB } from '../schema.ts';
import type { ClaimedAccount } from './claims.ts';

/** The state of an account after a poll, and how far ahead in virtual time its next one lies; null: in its old place. */
export interface PollRecord extends ClaimedAccount {
  readonly stride: number | null;
  /**
   * The moment from which the stride counts, in milliseconds of Postgres' time, and the seconds that a unit lasts, by
   * which it is placed before or after the clock's last move, by at most `farthestSeconds`. Null: from that move on.
   */
  readonly strideFrom: {
    readonly at: number;
    readonly unitSeconds: number;
    readonly farthestSeconds: number;
  } | null;
}

/** An outcome worth remembering: anything but "nothing new". */
export interface PollNote {
  readonly accountKey: number;
  readonly claimNo: number;
  readonly outcome: string;
  /** The vendor's code for a failure, 0 where there was no answer; null where nothing failed. */
  readonly code: number | null;
  readonly message: string;
}

/**
 * Writes the outcome of any number of polls in one statement. A record whose claim is not the newest is dropped,
 * and so is one of another account or app than the claim's key names here (of another mirror's database), one whose claim has had its outcome (a worker that was stopped, and whose job was done by another), and
 * one of an account taken out meanwhile. An account put first in the queue while it was polled stays there,
 * because the answer may be older than the request. Returns the accounts written.
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
        else app.virtual_clock + record.stride + coalesce(
          least(greatest(
            extract(epoch from to_timestamp(record.stride_from / 1000) - app.clock_moved_at)::float8,
            -record.farthest_seconds), record.farthest_seconds) / record.unit_seconds, 0)
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
      account_id text,
      claim_no integer,
      stride float8,
      stride_from float8,
      unit_seconds float8,
      farthest_seconds float8,
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
      and state.app_id = app.app_id
      -- A look-up for each record. As a join it reads all accounts, for the planner expects a hundred records.
      and (select account_id from mirror.account where account.account_key = record.account_key)
        = record.account_id collate "C"
      and state.claim_no = record.claim_no
      -- Leased. Said so that the planner does not look up how few rows are at a quiet moment, and then read the whole
      -- table for each record: 2.4 s instead of 60 ms for 3,000 records of 8,000 accounts.
      and coalesce(state.leased_until, '-infinity') > '-infinity'
    returning state.account_key as "accountKey"
  `.execute(db);
  return new Set(rows.map((row) => row.accountKey));
}

/**
 * Remembers outcomes, the last ten of each account; dropped like a record whose claim is not the newest.
 */
export async function noteOutcomes(db: Kysely<DB>, notes: readonly PollNote[]): Promise<void> {
  if (notes.length === 0) return;
  await sql`
    with noted as (
      insert into mirror.poll_outcome (account_key, claim_no, outcome, code, message)
      select account_key, claim_no, outcome, code, message
      from json_to_recordset(${JSON.stringify(notes.map(noteToRow))}::json) as note (
        account_key bigint, claim_no integer, outcome text, code integer, message text
      )
      join mirror.poll_state using (account_key, claim_no)
      on conflict (account_key, claim_no) do nothing
      returning account_key
    )
    delete from mirror.poll_outcome outcome using noted
    where outcome.account_key = noted.account_key and outcome.claim_no <= (
      -- Of those there were before, nine stay beside the new one.
      select kept.claim_no from mirror.poll_outcome kept
      where kept.account_key = noted.account_key order by kept.claim_no desc offset 9 limit 1
    )
  `.execute(db);
}

function toRow(record: PollRecord) {
  return {
    account_key: record.accountKey,
    account_id: record.accountId,
    claim_no: record.claimNo,
    stride: record.stride,
    stride_from: record.strideFrom?.at ?? null,
    unit_seconds: record.strideFrom?.unitSeconds ?? null,
    farthest_seconds: record.strideFrom?.farthestSeconds ?? null,
    weight: record.weight,
    change_mass: record.decayedChanges,
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

function noteToRow(note: PollNote) {
  return {
    account_key: note.accountKey,
    claim_no: note.claimNo,
    outcome: note.outcome,
    code: note.code,
    message: note.message,
  };
}
