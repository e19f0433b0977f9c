import type { Transaction } from 'kysely';
import type { Database, DB } from '../../db/client.ts';
import type { ClaimedAccount } from '../../db/queries/claims.ts';
import {
  type ChangeKind,
  loadGroupNames,
  loadGroups,
  lockAccount,
  type MirroredGroup,
} from '../../db/queries/groups.ts';
import { forgetHeldRemoval, holdRemoval, isReleased } from '../../db/queries/held-removals.ts';
import { type PollRecord, recordPolls } from '../../db/queries/poll-records.ts';
import type { Lesson } from '../schedule/learning.ts';
import type { Line } from '../schedule/line.ts';
import type { GroupRead, StopSignals, TencentClient } from '../tencent/client.ts';
import type { FriendGroup } from '../tencent/wire.ts';
import { contentHash, emptyHash } from './content-hash.ts';
import {
  countChanges,
  countRemovals,
  diffGroups,
  type GroupDiff,
  isEmpty,
  takesAnything,
  tellDiff,
  withoutRemovals,
} from './diff.ts';
import { takesTooMuch } from './guards.ts';
import { afterGone, afterHeld, afterRead, awaitingConfirmation, lessonOfRead } from './next-state.ts';
import { observeReach, observeStep, type SequenceObservation } from './sequence-evidence.ts';
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
  readonly fullReadIntervalMs: () => number;
  /** After this a removal that takes too much is read again. */
  readonly confirmRemovalAfterMs: number;
  /** Told of every answer, whatever comes of it. */
  readonly onAnswer?: (groups: readonly FriendGroup[]) => void;
  /** So many accounts of the app shrink that nothing is removed until an operator has looked. */
  readonly removalsHeld: () => boolean;
}

/** What came of reading an account. */
export interface SyncResult {
  /**
   * `dropped`: somebody else has claimed it since, and nothing was written. `removal_pending`: so much would go, or so
   * little is told, that it is read again first. `removal_held`: what came was written, and what would go waits for an
   * operator.
   */
  readonly outcome: 'unchanged' | 'changed' | 'removal_pending' | 'removal_held' | 'gone' | 'dropped';
  /** Still to be written; absent when everything is written. */
  readonly record?: PollRecord;
  /** What happened, where that is worth remembering. */
  readonly story?: string;
  /** Changes written to the feed. */
  readonly written?: Readonly<Record<ChangeKind, number>>;
  /** The first of the reads that a removal needs: the breaker counts these. */
  readonly shrank?: boolean;
  readonly evidence?: readonly SequenceObservation[];
  readonly lesson?: Lesson | undefined;
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
  const asked = isFullReadDue(deps, account) ? 0 : (account.sequence ?? 0);
  const read = async (sequence: number): Promise<GroupRead> => {
    const answer = await deps.client.groupGet(account.accountId, sequence, stop);
    deps.onAnswer?.(answer.groups);
    return answer;
  };
  const first = await read(asked);
  const nothingNew = showsNothingNew(account, first, asked) && !isDoubtful(deps, account, first);
  if (nothingNew) return unchanged(deps, account, first, asked);

  const complete = asked === 0 || namesAll(first, await loadGroupNames(deps.db, account.accountKey));
  if (complete) return write(deps, account, { first, asked, everything: first });

  return write(deps, account, { first, asked, everything: await read(0) });
}

/** What to do when the vendor says that the account does not exist: believed the second time, then emptied. */
export async function syncGoneAccount(
  deps: SyncDeps,
  account: ClaimedAccount,
  at: number,
): Promise<SyncResult> {
  const line = deps.line();
  if (account.groupCount === 0)
    return { outcome: 'gone', record: afterGone(account, at, emptyHash, line, deps.random) };
  if (!isConfirmed(deps, account, goneMark, at)) {
    const record = awaitingConfirmation(account, goneMark, at, deps.confirmRemovalAfterMs, line);
    return { outcome: 'removal_pending', record, shrank: account.pendingHash === null };
  }
  return deps.db.transaction().execute(async (trx): Promise<SyncResult> => {
    const locked = await lockAccount(trx, deps.appId, account);
    if (locked === undefined) return { outcome: 'dropped' };
    const diff = diffGroups(await loadGroups(trx, account.accountKey), []);
    if (deps.removalsHeld()) return hold(trx, deps, account, diff);
    await forgetHeldRemoval(trx, account.accountKey);
    const observedAt = clamp(at, locked.verifiedAt, locked.now);
    await writeGroups(trx, { ...ownerOf(deps, account), at: observedAt, sequence: null }, diff);
    const record = { ...afterGone(account, observedAt, emptyHash, line, deps.random), changedAt: observedAt };
    await recordPolls(trx, deps.appId, [record]);
    return { outcome: 'changed', story: tellDiff(diff), written: countChanges(diff) };
  });
}

function ownerOf(deps: SyncDeps, account: ClaimedAccount) {
  return { appId: deps.appId, accountKey: account.accountKey };
}

function isFullReadDue(deps: SyncDeps, account: ClaimedAccount): boolean {
  if (account.sequence === null || account.fullReadAt === null) return true;
  // A tenth earlier or later by account, so that accounts enrolled together drift apart.
  const phase = (account.accountKey * 0.618_033_988_75) % 1;
  return deps.now() - account.fullReadAt > deps.fullReadIntervalMs() * (0.9 + 0.2 * phase);
}

/**
 * The same content means that nothing is missing and nothing is new, whatever the sequence says. Telling nothing
 * under the same sequence means so too, unless everything was asked for: then it means that there is nothing.
 */
function showsNothingNew(account: ClaimedAccount, read: GroupRead, asked: number): boolean {
  if (asked !== 0 && read.sequence === asked && read.groups.length === 0) return true;
  return account.contentHash !== null && contentHash(read.groups) === account.contentHash;
}

/** Whether an answer that may hold only what changed still says something of every group that we hold. */
function namesAll(read: GroupRead, mirrored: readonly string[]): boolean {
  const told = new Set(read.groups.map((group) => group.name));
  return mirrored.every((name) => told.has(name));
}

function unchanged(deps: SyncDeps, account: ClaimedAccount, read: GroupRead, asked: number): SyncResult {
  const seen = {
    at: read.sentAt,
    sequence: read.sequence,
    changed: read.sequence !== account.sequence,
    full: asked === 0,
  };
  return {
    outcome: 'unchanged',
    record: afterRead(account, seen, deps.line(), deps.random),
    evidence: observeStep(asked, read),
    lesson: lessonOfRead(account, seen),
  };
}

/** What was read of an account: the first answer, the sequence it was asked with, and a complete answer. */
interface Reading {
  readonly first: GroupRead;
  readonly asked: number;
  readonly everything: GroupRead;
}

/** Writes a complete answer, unless it takes too much and nothing has confirmed that yet. */
async function write(deps: SyncDeps, account: ClaimedAccount, reading: Reading): Promise<SyncResult> {
  const { first, asked, everything } = reading;
  const hash = contentHash(everything.groups);
  const mark = pendingMark(hash, everything);
  const line = deps.line();
  return deps.db.transaction().execute(async (trx): Promise<SyncResult> => {
    const locked = await lockAccount(trx, deps.appId, account);
    if (locked === undefined) return { outcome: 'dropped' };
    const mirror = await loadGroups(trx, account.accountKey);
    const diff = diffGroups(mirror, everything.groups);
    const evidence = [...observeStep(asked, first), ...observeMore(account, mirror, reading, diff)];

    if (deps.removalsHeld() && takesAnything(diff)) {
      return { ...(await hold(trx, deps, account, diff, everything)), evidence };
    }
    // Without a hash after the first read: removals are held, or somebody had the account read anew.
    const held = account.contentHash === null && account.firstPolledAt !== null;
    const confirmed =
      isConfirmed(deps, account, mark, everything.sentAt) ||
      (held && (await isReleased(trx, account.accountKey)));
    if (!confirmed && (takesTooMuch(mirror, everything.groups) || isOddlyEmpty(account, everything))) {
      const record = awaitingConfirmation(account, mark, everything.sentAt, deps.confirmRemovalAfterMs, line);
      return {
        outcome: 'removal_pending',
        record,
        shrank: mirror.length > 0 && account.pendingHash === null,
        evidence,
      };
    }
    if (held) await forgetHeldRemoval(trx, account.accountKey);
    const observedAt = clamp(everything.sentAt, locked.verifiedAt, locked.now);
    await writeGroups(
      trx,
      { ...ownerOf(deps, account), at: observedAt, sequence: everything.sequence },
      diff,
    );
    const full = asked === 0 || everything !== first;
    const seen = { at: observedAt, sequence: everything.sequence, changed: true, full };
    const nothing = isEmpty(diff);
    const record = {
      ...afterRead(account, seen, line, deps.random),
      contentHash: hash,
      groupCount: everything.groups.length,
      changedAt: nothing ? account.changedAt : observedAt,
    };
    await recordPolls(trx, deps.appId, [record]);
    const told = { evidence, lesson: lessonOfRead(account, seen) };
    return nothing
      ? { outcome: 'unchanged', ...told }
      : { outcome: 'changed', story: tellDiff(diff), written: countChanges(diff), ...told };
  });
}

/**
 * What a second answer must agree in: content, and the sequence too. One that is rightly empty and a later one that is
 * wrongly so tell the same content, and of different times.
 */
function pendingMark(hash: string, read: GroupRead): string {
  return hash + read.sequence.toString(16).padStart(16, '0');
}

/**
 * Whether an answer agrees with the one that waits for a second. Two within moments are no better than one (a wish
 * puts an account first in line), so half of the waiting time must have passed.
 */
function isConfirmed(deps: SyncDeps, account: ClaimedAccount, mark: string, sentAt: number): boolean {
  return (
    mark === account.pendingHash && sentAt - (account.pendingAt ?? sentAt) >= deps.confirmRemovalAfterMs / 2
  );
}

/**
 * Whether an answer tells nothing though the sequence moved, of an account that holds nothing in the mirror. It may
 * have had groups in between; or the answer is wrongly empty, and the mirror, once at that sequence, would lack what
 * came until the next full read.
 */
function isOddlyEmpty(account: ClaimedAccount, read: GroupRead): boolean {
  return read.groups.length === 0 && read.sequence > 0 && read.sequence !== account.sequence;
}

/** An answer that is oddly empty and that no other has confirmed. */
function isDoubtful(deps: SyncDeps, account: ClaimedAccount, read: GroupRead): boolean {
  return (
    isOddlyEmpty(account, read) && !isConfirmed(deps, account, pendingMark(emptyHash, read), read.sentAt)
  );
}

function observeMore(
  account: ClaimedAccount,
  mirror: readonly MirroredGroup[],
  { first, asked, everything }: Reading,
  diff: GroupDiff,
): readonly SequenceObservation[] {
  // Without a hash the mirror is known to lag behind, and differences prove nothing.
  if (account.contentHash === null) return [];
  if (everything.sequence === account.sequence && !isEmpty(diff)) return ['silent_change'];
  return asked !== 0 && first.sequence > asked ? observeReach(mirror, first, everything.groups) : [];
}

/**
 * Removals of the app are held: writes what came and notes what would go. Sequence, hash and proof stay behind,
 * so that the account is read in full again and again until its removals are let through or not told any more.
 */
async function hold(
  trx: Transaction<DB>,
  deps: SyncDeps,
  account: ClaimedAccount,
  diff: GroupDiff,
  read?: GroupRead,
): Promise<SyncResult> {
  const coming = withoutRemovals(diff);
  const at = clamp(read?.sentAt ?? 0, account.verifiedAt ?? 0, deps.now());
  await writeGroups(trx, { ...ownerOf(deps, account), at, sequence: read?.sequence ?? null }, coming);
  await holdRemoval(trx, { ...ownerOf(deps, account), ...countRemovals(diff) });
  const record = {
    ...afterHeld(account, deps.random),
    groupCount: account.groupCount + coming.addedGroups.length,
    changedAt: isEmpty(coming) ? account.changedAt : at,
  };
  await recordPolls(trx, deps.appId, [record]);
  return { outcome: 'removal_held', story: `held back: ${tellDiff(diff)}`, written: countChanges(coming) };
}

/** A time not before the last proof and not in the future, however far the clocks are apart. */
function clamp(time: number, least: number, most: number): number {
  return Math.max(least, Math.min(time, most));
}
