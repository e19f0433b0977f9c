import type { Database } from '../../db/client.ts';
import type { ClaimedAccount } from '../../db/queries/claims.ts';
import { loadGroupNames, loadGroups, lockAccount } from '../../db/queries/groups.ts';
import { type PollRecord, recordPolls } from '../../db/queries/poll-records.ts';
import type { Line } from '../schedule/line.ts';
import type { GroupRead, StopSignals, TencentClient } from '../tencent/client.ts';
import { contentHash, emptyHash } from './content-hash.ts';
import { diffGroups, isEmpty } from './diff.ts';
import { takesTooMuch } from './guards.ts';
import { afterGone, afterRead, awaitingConfirmation } from './next-state.ts';
import { writeGroups } from './write-groups.ts';

export interface SyncDeps {
  readonly db: Database;
  readonly appId: number;
  readonly client: TencentClient;
  readonly line: () => Line;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  /** Postgres' time in milliseconds. */
  readonly now: () => number;
  /** An account is asked for everything this often, because it is unknown which writes move its sequence. */
  readonly fullReadIntervalMs: number;
  /** After this a removal that takes too much is read again. */
  readonly confirmRemovalAfterMs: number;
}

/** What came of reading an account. `dropped`: somebody else has claimed it since, and nothing was written. */
export interface SyncResult {
  readonly outcome: 'unchanged' | 'changed' | 'removal_pending' | 'gone' | 'dropped';
  /** Still to be written; absent when everything is written. */
  readonly record?: PollRecord;
}

/** Marks a pending removal that rests on "no such account", and not on an answer. */
const goneMark = '0'.repeat(32);

/**
 * Reads one account and brings the mirror up to it. Right under every reading of the sequence (which may count
 * changes or not, and whose answers may hold everything or only what changed):
 *
 *     ask with the stored sequence ──▶ same content, or same sequence and nothing told? ──yes──▶ unchanged
 *                                                    │ no
 *                        everything asked for, or every mirrored group named? ──no──▶ ask for everything
 *                                                    │ yes                                    │
 *                                                    ▼                                        │
 *        one transaction: lock, compare, write the difference, history, feed, sequence ◀──────┘
 *
 * Only an answer known to be complete removes anything, and one that takes too much waits for a second that agrees.
 * Throws TencentError when the vendor gives no usable answer; nothing is written then.
 */
export async function syncAccount(
  deps: SyncDeps,
  account: ClaimedAccount,
  stop: StopSignals,
): Promise<SyncResult> {
  const lastSequence = isFullReadDue(deps, account) ? 0 : (account.sequence ?? 0);
  const first = await deps.client.groupGet(account.accountId, lastSequence, stop);
  if (showsNothingNew(account, first, lastSequence))
    return unchanged(deps, account, first, lastSequence === 0);

  const complete = lastSequence === 0 || namesAll(first, await loadGroupNames(deps.db, account.accountKey));
  if (complete) return write(deps, account, first, lastSequence === 0);

  const everything = await deps.client.groupGet(account.accountId, 0, stop);
  if (showsNothingNew(account, everything, 0)) return unchanged(deps, account, everything, true);
  return write(deps, account, everything, true);
}

/** What to do when the vendor says that the account does not exist: believed the second time, then emptied. */
export async function syncGoneAccount(
  deps: SyncDeps,
  account: ClaimedAccount,
  at: number,
): Promise<SyncResult> {
  const line = deps.line();
  if (account.groupCount === 0) return { outcome: 'gone', record: afterGone(account, at, emptyHash, line) };
  if (account.pendingHash !== goneMark) {
    const record = awaitingConfirmation(account, goneMark, at, deps.confirmRemovalAfterMs, line);
    return { outcome: 'removal_pending', record };
  }
  return deps.db.transaction().execute(async (trx) => {
    const locked = await lockAccount(trx, account);
    if (locked === undefined) return { outcome: 'dropped' };
    const observedAt = clamp(at, locked.verifiedAt, locked.now);
    const target = {
      appId: deps.appId,
      accountKey: account.accountKey,
      at: observedAt,
      sequence: null,
    };
    await writeGroups(trx, target, diffGroups(await loadGroups(trx, account.accountKey), []));
    const record = { ...afterGone(account, observedAt, emptyHash, line), changedAt: observedAt };
    await recordPolls(trx, deps.appId, [record]);
    return { outcome: 'changed' };
  });
}

function isFullReadDue(deps: SyncDeps, account: ClaimedAccount): boolean {
  if (account.sequence === null || account.fullReadAt === null) return true;
  // A tenth earlier or later by account, so that accounts enrolled together drift apart.
  const phase = (account.accountKey * 0.618_033_988_75) % 1;
  return deps.now() - account.fullReadAt > deps.fullReadIntervalMs * (0.9 + 0.2 * phase);
}

/**
 * The same content means that nothing is missing and nothing is new, whatever the sequence says. Telling nothing
 * under the same sequence means so too, unless everything was asked for: then it means that there is nothing.
 */
function showsNothingNew(account: ClaimedAccount, read: GroupRead, lastSequence: number): boolean {
  if (account.contentHash !== null && contentHash(read.groups) === account.contentHash) return true;
  return lastSequence !== 0 && read.sequence === lastSequence && read.groups.length === 0;
}

/** Whether an answer that may hold only what changed still says something of every group that we hold. */
function namesAll(read: GroupRead, mirrored: readonly string[]): boolean {
  const told = new Set(read.groups.map((group) => group.name));
  return mirrored.every((name) => told.has(name));
}

function unchanged(deps: SyncDeps, account: ClaimedAccount, read: GroupRead, full: boolean): SyncResult {
  const changed = read.sequence !== account.sequence;
  const seen = { at: read.sentAt, sequence: read.sequence, changed, full };
  return { outcome: 'unchanged', record: afterRead(account, seen, deps.line(), deps.random) };
}

/** Writes a complete answer, unless it takes too much and nothing has confirmed that yet. */
async function write(
  deps: SyncDeps,
  account: ClaimedAccount,
  read: GroupRead,
  full: boolean,
): Promise<SyncResult> {
  const hash = contentHash(read.groups);
  const line = deps.line();
  return deps.db.transaction().execute(async (trx) => {
    const locked = await lockAccount(trx, account);
    if (locked === undefined) return { outcome: 'dropped' };
    const mirror = await loadGroups(trx, account.accountKey);
    if (hash !== account.pendingHash && takesTooMuch(mirror, read.groups)) {
      const record = awaitingConfirmation(account, hash, read.sentAt, deps.confirmRemovalAfterMs, line);
      return { outcome: 'removal_pending', record };
    }
    const observedAt = clamp(read.sentAt, locked.verifiedAt, locked.now);
    const target = {
      appId: deps.appId,
      accountKey: account.accountKey,
      at: observedAt,
      sequence: read.sequence,
    };
    const diff = diffGroups(mirror, read.groups);
    await writeGroups(trx, target, diff);
    const seen = { at: observedAt, sequence: read.sequence, changed: true, full };
    const record = {
      ...afterRead(account, seen, line, deps.random),
      contentHash: hash,
      groupCount: read.groups.length,
      changedAt: isEmpty(diff) ? account.changedAt : observedAt,
    };
    await recordPolls(trx, deps.appId, [record]);
    return { outcome: isEmpty(diff) ? 'unchanged' : 'changed' };
  });
}

/** A time not before the last proof and not in the future, however far the clocks are apart. */
function clamp(time: number, least: number, most: number): number {
  return Math.max(least, Math.min(time, most));
}
