import type { ClaimedAccount } from '../../db/queries/claims.ts';
import type { PollNote } from '../../db/queries/poll-records.ts';
import { type Refusal, refusalOf } from '../../db/storage-errors.ts';
import type { CallOptions } from '../tencent/client.ts';
import { TencentError, type TencentErrorKind } from '../tencent/errors.ts';
import { NoRoomError } from '../tencent/response-memory.ts';
import type { FriendGroup } from '../tencent/wire.ts';
import { mirrorAccount, mirrorGoneAccount } from './mirror-account.ts';
import type { MirrorResult } from './mirror-result.ts';
import { afterFailure, afterQuarantine, postponed, releaseLease } from './next-state.ts';
import type { PollDeps } from './poll-deps.ts';
import type { PollCall } from './read-account.ts';

/** What came of a poll, for the counters; failures by what kind they were. */
export type PollOutcome =
  | MirrorResult['outcome']
  | 'rate_limited'
  | 'transient'
  | 'refused'
  | 'quarantined'
  | 'storage_failed'
  | 'postponed'
  | 'released';

export interface PollResult extends Omit<MirrorResult, 'outcome' | 'summary'> {
  readonly outcome: PollOutcome;
  /** Worth remembering; still to be written. */
  readonly note?: PollNote;
  /** What failed, where something did. */
  readonly failure?: TencentErrorKind | 'storage_failed';
  /** The vendor's error, where it concerns the whole app: over its limit, or refused. */
  readonly appError?: TencentError;
  /** Why the database did not take the answer. */
  readonly refusal?: Refusal;
  /** The groups of each response, whatever came of it. */
  readonly responses?: readonly (readonly FriendGroup[])[];
}

/** After this many failures in a row that do not seem to pass with time, an account is set aside. */
const failuresBeforeQuarantine = 5;
/** Transient write failures in a row, while others are written, that do not count against the account. */
const freeTransientFailures = 2;

/** Polls one account. Never throws: whatever goes wrong becomes the account's next state. */
export async function pollAccount(
  deps: PollDeps,
  account: ClaimedAccount,
  stop: CallOptions,
): Promise<PollResult> {
  const call: PollCall = { ...stop, responses: [] };
  return { ...(await attempt(deps, account, call)), responses: call.responses };
}

async function attempt(deps: PollDeps, account: ClaimedAccount, call: PollCall): Promise<PollResult> {
  try {
    const result = await mirrorAccount(deps, account, call);
    noteStored(deps, account, result);
    return withNote(account, result);
  } catch (error) {
    if ([call.soft, call.hard].some((signal) => signal.aborted && error === signal.reason))
      return { outcome: 'released', record: releaseLease(account) };
    if (error instanceof NoRoomError) return noRoom(deps, account);
    if (error instanceof TencentError) return { failure: error.kind, ...(await actOn(deps, account, error)) };
    return storageFailed(deps, account, error);
  }
}

/** What comes of a poll for whose answer there is no room: nothing, and the account is read some seconds later. */
export function noRoom({ policy, random }: PollDeps, account: ClaimedAccount): PollResult {
  return { outcome: 'postponed', record: postponed(account, policy.queue(), random) };
}

/** The one place that turns kinds of errors into what is done about them. */
async function actOn(deps: PollDeps, account: ClaimedAccount, error: TencentError): Promise<PollResult> {
  const { kind } = error;
  switch (kind) {
    case 'rate_limited':
      return { outcome: 'rate_limited', record: releaseLease(account), appError: error };
    case 'credentials':
    case 'configuration':
    case 'signature_expired':
      return { outcome: 'refused', record: releaseLease(account), appError: error };
    case 'transient':
      return failed(deps, account, error);
    case 'account_not_found':
      return gone(deps, account, error);
    case 'bad_request':
    case 'unstorable':
      return quarantined(deps, account, error);
    case 'malformed_response':
    case 'unknown':
      return account.failCount + 1 >= failuresBeforeQuarantine && !deps.health.vendorIsUnhealthy()
        ? quarantined(deps, account, error)
        : failed(deps, account, error);
    default:
      return kind satisfies never;
  }
}

function failed(deps: PollDeps, account: ClaimedAccount, error: TencentError): PollResult {
  const isOutage = deps.health.vendorIsUnhealthy();
  return {
    outcome: 'transient',
    record: afterFailure(account, isOutage, deps.policy.queue(), deps.random),
    note: noteOf(account, 'transient', error.code, error.message),
  };
}

function quarantined(deps: PollDeps, account: ClaimedAccount, error: TencentError): PollResult {
  return {
    outcome: 'quarantined',
    record: afterQuarantine(account, deps.policy.queue()),
    note: noteOf(account, 'quarantined', error.code, error.message),
  };
}

async function gone(deps: PollDeps, account: ClaimedAccount, error: TencentError): Promise<PollResult> {
  try {
    const { summary, ...result } = await mirrorGoneAccount(deps, account, error.sentAt ?? deps.now());
    noteStored(deps, account, result);
    const message = summary === undefined ? error.message : `${error.message} (${summary})`;
    return { ...result, note: noteOf(account, result.outcome, error.code, message) };
  } catch (storageError) {
    return storageFailed(deps, account, storageError);
  }
}

/** A result without a record was written by its own transaction, unless it was dropped. */
function noteStored(
  { health: { storage } }: PollDeps,
  account: ClaimedAccount,
  { outcome, record }: MirrorResult,
): void {
  if (record !== undefined) storage.unchanged(account.accountKey);
  else if (outcome !== 'dropped') storage.written(account.accountKey);
}

/**
 * The vendor answered, and the database did not take it. What passes by itself costs the account nothing, unless it hits
 * this account again and again while others are written. Anything else is a failure of the account like the vendor's;
 * while the database refuses many accounts, none is to blame.
 */
function storageFailed(deps: PollDeps, account: ClaimedAccount, error: unknown): PollResult {
  const { health, output, policy } = deps;
  const refusal = refusalOf(error);
  const times = health.storage.refused(account.accountKey);
  output.log.debug({ err: error, account: account.accountId, times }, 'answer not written');
  if (refusal.transient && times <= freeTransientFailures)
    return { outcome: 'released', record: releaseLease(account), refusal };

  const isOutage = health.storage.isUnhealthy() || health.vendorIsUnhealthy();
  const aside = account.failCount + 1 >= failuresBeforeQuarantine && !isOutage;
  const outcome = aside ? 'quarantined' : 'storage_failed';
  const message = `the database refused the answer: ${output.scrub(refusal.reason)}`;
  return {
    outcome,
    failure: 'storage_failed',
    refusal,
    record: aside
      ? afterQuarantine(account, policy.queue())
      : afterFailure(account, isOutage, policy.queue(), deps.random),
    note: noteOf(account, outcome, 0, message),
  };
}

/** Remembers what a read brought, where that is more than nothing new. */
function withNote(account: ClaimedAccount, { summary, ...result }: MirrorResult): PollResult {
  return summary === undefined ? result : { ...result, note: noteOf(account, result.outcome, null, summary) };
}

function noteOf(
  account: ClaimedAccount,
  outcome: PollOutcome,
  code: number | null,
  message: string,
): PollNote {
  return { accountKey: account.accountKey, claimNo: account.claimNo, outcome, code, message };
}
