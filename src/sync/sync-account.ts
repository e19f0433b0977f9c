import type { Transaction } from 'kysely';
import type { Database, DB } from '../../db/client.ts';
import type { ClaimedAccount } from '../../db/queries/claims.ts';
import {
  type ChangeKind,
  type LockedAccount,
  loadGroupNames,
  loadGroups,
  lockAccount,
  type MirroredGroup,
} from '../../db/queries/groups.ts';
import { forgetHeldRemoval, holdRemoval, isReleased } from '../../db/queries/held-removals.ts';
import { type PollRecord, recordPolls } from '../../db/queries/poll-records.ts';
import { noteShrunk } from '../../db/queries/shrunk-accounts.ts';
import type { CalibrationSample } from '../schedule/learning.ts';
import type { QueueStats } from '../schedule/queue-stats.ts';
import type { GroupRead, StopSignals, TencentClient } from '../tencent/client.ts';
import type { FriendGroup } from '../tencent/wire.ts';
import { contentHash, emptyHash } from './content-hash.ts';
import { countChanges, countRemovals, describeDiff, type GroupDiff, isEmpty } from './diff.ts';
import { contentMark, type Doubt, isUnexpectedlyEmpty, shortGroups, shrinks } from './doubt.ts';
import { type CompleteResponse, isConfirmed, type Judgement, judge } from './judge.ts';
import {
  afterGone,
  afterHeld,
  afterRead,
  awaitingConfirmation,
  calibrationSampleOfRead,
} from './next-state.ts';
import { observeReach, observeStep, type SequenceObservation } from './sequence-evidence.ts';
import { writeGroups } from './write-groups.ts';

export interface SyncDeps {
  readonly db: Database;
  readonly appId: number;
  readonly client: TencentClient;
  readonly queue: () => QueueStats;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  /** Postgres' time in milliseconds. */
  readonly now: () => number;
  /** An account is asked for everything this often, because it is unknown which writes move its sequence. */
  readonly fullReadIntervalMs: () => number;
  /** After this a removal that takes too much is read again. */
  readonly confirmRemovalAfterMs: number;
  /** Called for every answer, whatever comes of it. */
  readonly onResponse?: (groups: readonly FriendGroup[]) => void;
  /** Whether a second answer may be believed whose first came this many seconds ago: see `RemovalBreaker`. */
  readonly mayBelieve: (firstAgoSeconds: number) => Promise<boolean>;
}

/** What came of reading an account. */
export interface SyncResult {
  /**
   * `dropped`: another worker has claimed it since, and nothing was written. `removal_pending`: what it adds was written,
   * and what it leaves out is read again first. `removal_held`: what came was written, and what would go waits for an
   * operator.
   */
  readonly outcome: 'unchanged' | 'changed' | 'removal_pending' | 'removal_held' | 'gone' | 'dropped';
  /** Still to be written; absent when everything is written. */
  readonly record?: PollRecord;
  /** What happened, where that is worth remembering. */
  readonly summary?: string;
  /** Changes written to the feed. */
  readonly written?: Readonly<Record<ChangeKind, number>>;
  readonly evidence?: readonly SequenceObservation[];
  readonly sample?: CalibrationSample | undefined;
}

/**
 * Reads one account and brings the mirror up to it. Right under every reading of the sequence (which may count
 * changes or not, and whose answers may hold everything or only what changed):
 *
 *     ask with the stored sequence ──▶ same content, or same sequence and an empty answer? ─yes──▶ unchanged
 *                                                    │ no
 *                        everything asked for, or every mirrored group named? ──no──▶ ask for everything
 *                                                    │ yes                                    │
 *                                                    ▼                                        │
 *        one transaction: lock, judge, write the difference, history, feed, sequence ◀────────┘
 *
 * Only an answer known to be complete removes anything; the rules are in `judge`.
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
    deps.onResponse?.(answer.groups);
    return answer;
  };
  const first = await read(asked);
  const nothingNew = showsNothingNew(account, first, asked) && !isUnconfirmedNothing(deps, account, first);
  if (nothingNew) return unchanged(deps, account, first, asked);

  const complete = asked === 0 || namesAll(first, await loadGroupNames(deps.db, account.accountKey));
  const everything = complete ? first : await read(0);
  return settle(deps, account, { kind: 'groups', ...everything }, { first, asked, everything });
}

/** What to do when the vendor says that the account does not exist: believed the second time, then emptied. */
export async function syncGoneAccount(
  deps: SyncDeps,
  account: ClaimedAccount,
  at: number,
): Promise<SyncResult> {
  if (account.groupCount === 0)
    return { outcome: 'gone', record: afterGone(account, at, emptyHash, deps.queue(), deps.random) };
  return settle(deps, account, { kind: 'gone', sentAt: at }, undefined);
}

function isFullReadDue(deps: SyncDeps, account: ClaimedAccount): boolean {
  if (account.sequence === null || account.fullReadAt === null) return true;
  // A tenth earlier or later by account, so that accounts enrolled together drift apart.
  const phase = (account.accountKey * 0.618_033_988_75) % 1;
  return deps.now() - account.fullReadAt > deps.fullReadIntervalMs() * (0.9 + 0.2 * phase);
}

/**
 * The same content means that nothing is missing and nothing is new, whatever the sequence says. An empty response
 * under the same sequence means so too, unless everything was asked for: then it means that there is nothing.
 */
function showsNothingNew(account: ClaimedAccount, read: GroupRead, asked: number): boolean {
  if (asked !== 0 && read.sequence === asked && read.groups.length === 0) return true;
  return account.contentHash !== null && contentHash(read.groups) === account.contentHash;
}

/** Whether an answer is empty though the sequence moved, and no other has confirmed it. */
function isUnconfirmedNothing(deps: SyncDeps, account: ClaimedAccount, read: GroupRead): boolean {
  if (!isUnexpectedlyEmpty({ ...read, storedSequence: account.sequence })) return false;
  const facts = { account, answer: read, confirmAfterMs: deps.confirmRemovalAfterMs };
  return !isConfirmed(facts, contentMark(read.groups, read.sequence));
}

/** Whether an answer that may hold only what changed still says something of every group that we hold. */
function namesAll(read: GroupRead, mirrored: readonly string[]): boolean {
  const reported = new Set(read.groups.map((group) => group.name));
  return mirrored.every((name) => reported.has(name));
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
    record: afterRead(account, seen, deps.queue(), deps.random),
    evidence: observeStep(asked, read),
    sample: calibrationSampleOfRead(account, seen),
  };
}

/** What was read of an account: the first answer, the sequence it was asked with, and a complete answer. */
interface Reading {
  readonly first: GroupRead;
  readonly asked: number;
  readonly everything: GroupRead;
}

/** What is written into: the transaction that has locked the account, and what was found there. */
interface Writing {
  readonly trx: Transaction<DB>;
  readonly deps: SyncDeps;
  readonly account: ClaimedAccount;
  readonly answer: CompleteResponse;
  readonly mirror: readonly MirroredGroup[];
  /** When what is written was observed, in milliseconds. */
  readonly at: number;
}

/** Judges a complete answer and writes what the judgement allows, in one transaction. */
async function settle(
  deps: SyncDeps,
  account: ClaimedAccount,
  answer: CompleteResponse,
  reading: Reading | undefined,
): Promise<SyncResult> {
  // Ahead of the transaction: it may hold the removals of the whole app.
  const undecided =
    account.pendingHash !== null &&
    !(await deps.mayBelieve(Math.max(0, deps.now() - (account.pendingAt ?? deps.now())) / 1000));
  return deps.db.transaction().execute(async (trx): Promise<SyncResult> => {
    const locked = await lockAccount(trx, deps.appId, account);
    if (locked === undefined) return { outcome: 'dropped' };
    const mirror = await loadGroups(trx, account.accountKey);
    const judgement = judge({
      account,
      answer,
      mirror,
      removalsHeld: locked.removalsHeld,
      released: isBehind(account) && (await isReleased(trx, account.accountKey)),
      undecided,
      confirmAfterMs: deps.confirmRemovalAfterMs,
    });
    const writing = { trx, deps, account, answer, mirror, at: observedAt(answer.sentAt, locked) };
    const result = await carryOut(writing, judgement, reading);
    return reading === undefined
      ? result
      : { ...result, evidence: observeAll(account, mirror, reading, judgement) };
  });
}

/** Whether the mirror is known to lag behind: removals were held, or wait, or a full read was requested. */
function isBehind(account: ClaimedAccount): boolean {
  return account.contentHash === null && account.firstPolledAt !== null;
}

/**
 * When an answer was sent, but not in the future, and later than whatever was written of the account before, however far
 * the clocks are apart: no two lives of a membership begin at the same moment. Postgres counts microseconds; a
 * number of milliseconds is good to a quarter of one, so two are added.
 */
function observedAt(sentAt: number, { lastAt, now }: LockedAccount): number {
  return Math.max(lastAt + 0.002, Math.min(sentAt, now));
}

function carryOut(writing: Writing, judgement: Judgement, reading: Reading | undefined): Promise<SyncResult> {
  switch (judgement.decision) {
    case 'apply':
      return apply(writing, judgement, reading);
    case 'await':
      return awaitSecond(writing, judgement);
    case 'hold':
      return hold(writing, judgement);
    default:
      return judgement satisfies never;
  }
}

async function apply(
  { trx, deps, account, answer, mirror, at }: Writing,
  { diff, confirmed }: Judgement & { decision: 'apply' },
  reading: Reading | undefined,
): Promise<SyncResult> {
  if (isBehind(account)) await forgetHeldRemoval(trx, account.accountKey);
  if (confirmed !== undefined && shrinks(confirmed, mirror, diff))
    await noteShrunk(trx, { ...ownerOf(deps, account), ...countRemovals(diff) }, true);
  await write(deps, trx, account, answer, at, diff);
  const nothing = isEmpty(diff);
  const queue = deps.queue();
  if (answer.kind === 'gone') {
    const record = afterGone(account, at, emptyHash, queue, deps.random);
    await recordPolls(trx, deps.appId, [nothing ? record : { ...record, changedAt: at }]);
    if (nothing) return { outcome: 'gone' };
    return { outcome: 'changed', summary: describeDiff(diff), written: countChanges(diff) };
  }
  const full = reading === undefined || reading.asked === 0 || reading.everything !== reading.first;
  const seen = { at, sequence: answer.sequence, changed: true, full };
  const record = {
    ...afterRead(account, seen, queue, deps.random),
    contentHash: contentHash(answer.groups),
    groupCount: answer.groups.length,
    changedAt: nothing ? account.changedAt : at,
  };
  await recordPolls(trx, deps.appId, [record]);
  const sample = calibrationSampleOfRead(account, seen);
  return nothing
    ? { outcome: 'unchanged', sample }
    : { outcome: 'changed', summary: describeDiff(diff), written: countChanges(diff), sample };
}

/** Writes what the answer adds. What it leaves out, the sequence and what is proved wait for the second answer. */
async function awaitSecond(
  { trx, deps, account, answer, mirror, at }: Writing,
  { doubt, mark, diff, whole }: Judgement & { decision: 'await' },
): Promise<SyncResult> {
  // Each first answer counts once, however often it is read again.
  if (shrinks(doubt, mirror, whole) && mark !== account.pendingHash)
    await noteShrunk(trx, { ...ownerOf(deps, account), ...countRemovals(whole) }, false);
  await write(deps, trx, account, answer, at, diff);
  const record = {
    ...awaitingConfirmation(account, mark, answer.sentAt, deps.confirmRemovalAfterMs, deps.queue()),
    ...withAdditions(account, diff, at),
  };
  await recordPolls(trx, deps.appId, [record]);
  return {
    outcome: 'removal_pending',
    summary: describeDoubt(doubt, answer, whole),
    written: countChanges(diff),
  };
}

/**
 * Removals of the app are held: writes what came and notes what would go. Sequence, hash and proof stay behind,
 * so that the account is read in full again and again until its removals are let through, or the vendor does not repeat them.
 */
async function hold(
  { trx, deps, account, answer, at }: Writing,
  { diff, whole }: Judgement & { decision: 'hold' },
): Promise<SyncResult> {
  await write(deps, trx, account, answer, at, diff);
  await holdRemoval(trx, { ...ownerOf(deps, account), ...countRemovals(whole) });
  const record = {
    ...afterHeld(account, deps.queue(), deps.random),
    ...withAdditions(account, diff, at),
    contentHash: null,
  };
  await recordPolls(trx, deps.appId, [record]);
  return {
    outcome: 'removal_held',
    summary: `held back: ${describeDiff(whole)}`,
    written: countChanges(diff),
  };
}

async function write(
  deps: SyncDeps,
  trx: Transaction<DB>,
  account: ClaimedAccount,
  answer: CompleteResponse,
  at: number,
  diff: GroupDiff,
): Promise<void> {
  const sequence = answer.kind === 'gone' ? null : answer.sequence;
  await writeGroups(trx, { ...ownerOf(deps, account), at, sequence }, diff);
}

/** Of a part that was written: the mirror is then like no answer, so every answer is compared in full. */
function withAdditions(account: ClaimedAccount, diff: GroupDiff, at: number): Partial<PollRecord> {
  if (isEmpty(diff)) return {};
  return { contentHash: null, groupCount: account.groupCount + diff.addedGroups.length, changedAt: at };
}

function ownerOf(deps: SyncDeps, account: ClaimedAccount) {
  return { appId: deps.appId, accountKey: account.accountKey };
}

function describeDoubt(doubt: Doubt | 'gone', answer: CompleteResponse, whole: GroupDiff): string {
  const going = `read again before it is believed: ${describeDiff(whole)}`;
  switch (doubt) {
    case 'takes_much':
      return `the answer takes much away; ${going}`;
    case 'tells_nothing':
      return 'the answer has no change though the sequence moved, and is read again';
    case 'contradicts_itself': {
      const short = shortGroups(answer.kind === 'gone' ? [] : answer.groups);
      const [listed, counted] = [
        short.reduce((sum, group) => sum + group.members.length, 0),
        short.reduce((sum, group) => sum + group.friendNumber, 0),
      ];
      return `the answer lists ${listed} friends of the ${counted} that it counts in ${short.length} groups; ${going}`;
    }
    case 'gone':
      return going;
    default:
      return doubt satisfies never;
  }
}

function observeAll(
  account: ClaimedAccount,
  mirror: readonly MirroredGroup[],
  { first, asked, everything }: Reading,
  judgement: Judgement,
): readonly SequenceObservation[] {
  const step = observeStep(asked, first);
  // Without a hash the mirror is known to lag behind, and differences prove nothing.
  if (account.contentHash === null) return step;
  const whole = judgement.decision === 'apply' ? judgement.diff : judgement.whole;
  if (everything.sequence === account.sequence && !isEmpty(whole)) return [...step, 'silent_change'];
  return asked !== 0 && first.sequence > asked
    ? [...step, ...observeReach(mirror, first, everything.groups)]
    : step;
}
