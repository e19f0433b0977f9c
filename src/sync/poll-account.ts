import { isPassing } from '../../db/connection-errors.ts';
import type { ClaimedAccount } from '../../db/queries/claims.ts';
import type { PollNote } from '../../db/queries/poll-records.ts';
import type { Logger } from '../log.ts';
import type { StopSignals } from '../tencent/client.ts';
import { TencentError, type TencentErrorKind } from '../tencent/errors.ts';
import { afterFailure, afterQuarantine, unpolled } from './next-state.ts';
import { type SyncDeps, type SyncResult, syncAccount, syncGoneAccount } from './sync-account.ts';

export interface PollDeps extends SyncDeps {
  /** The vendor says that the app is over its limit. */
  readonly onRateLimited: (error: TencentError) => void;
  /** The vendor refuses the app as a whole. */
  readonly onRefused: (error: TencentError) => void;
  /** Calls fail for many accounts at present. */
  readonly vendorIsIll: () => boolean;
  readonly log: Logger;
}

/** What came of a poll, for the counters; failures by what kind they were. */
export type PollOutcome =
  | SyncResult['outcome']
  | 'rate_limited'
  | 'transient'
  | 'refused'
  | 'quarantined'
  | 'storage_failed'
  | 'returned';

export interface PollResult extends Omit<SyncResult, 'outcome' | 'story'> {
  readonly outcome: PollOutcome;
  /** Worth remembering; still to be written. */
  readonly note?: PollNote;
  /** What failed, where something did. */
  readonly failure?: TencentErrorKind | 'storage_failed';
}

/** After this many failures in a row that time does not seem to mend, an account is set aside. */
const failuresBeforeQuarantine = 5;

/** Polls one account. Never throws: whatever goes wrong becomes the account's next state. */
export async function pollAccount(
  deps: PollDeps,
  account: ClaimedAccount,
  stop: StopSignals,
): Promise<PollResult> {
  try {
    return withNote(account, await syncAccount(deps, account, stop));
  } catch (error) {
    if (stop.soft.aborted && error === stop.soft.reason)
      return { outcome: 'returned', record: unpolled(account) };
    if (stop.hard.aborted && error === stop.hard.reason)
      return { outcome: 'returned', record: unpolled(account) };
    if (error instanceof TencentError) return { failure: error.kind, ...(await actOn(deps, account, error)) };
    return storageFailed(deps, account, error);
  }
}

/** The one place that turns kinds of errors into what is done about them. */
async function actOn(deps: PollDeps, account: ClaimedAccount, error: TencentError): Promise<PollResult> {
  const { kind } = error;
  switch (kind) {
    case 'rate_limited':
      deps.onRateLimited(error);
      return { outcome: 'rate_limited', record: unpolled(account) };
    case 'credentials':
    case 'configuration':
    case 'sign_again':
      deps.onRefused(error);
      return { outcome: 'refused', record: unpolled(account) };
    case 'transient':
      return failed(deps, account, error);
    case 'account_gone':
      return gone(deps, account, error);
    case 'bad_request':
    case 'unstorable':
      return quarantined(deps, account, error);
    case 'unclear_answer':
    case 'unknown':
      return account.failCount + 1 >= failuresBeforeQuarantine && !deps.vendorIsIll()
        ? quarantined(deps, account, error)
        : failed(deps, account, error);
    default:
      return kind satisfies never;
  }
}

function failed(deps: PollDeps, account: ClaimedAccount, error: TencentError): PollResult {
  return {
    outcome: 'transient',
    record: afterFailure(account, deps.vendorIsIll(), deps.line(), deps.random),
    note: noteOf(account, 'transient', error.code, error.message),
  };
}

function quarantined(deps: PollDeps, account: ClaimedAccount, error: TencentError): PollResult {
  return {
    outcome: 'quarantined',
    record: afterQuarantine(account, deps.line()),
    note: noteOf(account, 'quarantined', error.code, error.message),
  };
}

async function gone(deps: PollDeps, account: ClaimedAccount, error: TencentError): Promise<PollResult> {
  try {
    const { story, ...result } = await syncGoneAccount(deps, account, error.sentAt ?? deps.now());
    const message = story === undefined ? error.message : `${error.message} (${story})`;
    return { ...result, note: noteOf(account, result.outcome, error.code, message) };
  } catch (storageError) {
    return storageFailed(deps, account, storageError);
  }
}

/** The vendor answered, and the database could not take it: its own fault, or the answer's. */
function storageFailed(deps: PollDeps, account: ClaimedAccount, error: unknown): PollResult {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'no code';
  if (isPassing(error)) {
    deps.log.debug({ err: error, account: account.accountId }, 'answer not written: postgres is away');
    return { outcome: 'returned', record: unpolled(account) };
  }
  deps.log.warn({ err: error, account: account.accountId }, 'answer not written');
  return {
    outcome: 'storage_failed',
    failure: 'storage_failed',
    record: afterFailure(account, deps.vendorIsIll(), deps.line(), deps.random),
    note: noteOf(account, 'storage_failed', 0, `the database could not take the answer (${code})`),
  };
}

/** Remembers what a read brought, where that is more than nothing new. */
function withNote(account: ClaimedAccount, { story, ...result }: SyncResult): PollResult {
  return story === undefined ? result : { ...result, note: noteOf(account, result.outcome, null, story) };
}

function noteOf(
  account: ClaimedAccount,
  outcome: PollOutcome,
  code: number | null,
  message: string,
): PollNote {
  return { accountKey: account.accountKey, claimNo: account.claimNo, outcome, code, message };
}
