import type { Transaction } from 'kysely';
import type { DB } from '../../db/client.ts';
import type { ClaimedAccount } from '../../db/queries/claims.ts';
import type { MirroredGroup } from '../../db/queries/groups.ts';
import { forgetHeldRemoval, holdRemoval } from '../../db/queries/held-removals.ts';
import { type PollRecord, recordPolls } from '../../db/queries/poll-records.ts';
import { noteShrunk } from '../../db/queries/shrunk-accounts.ts';
import { contentHash, emptyHash } from './content-hash.ts';
import { countChanges, countRemovals, describeDiff, type GroupDiff, isEmpty } from './diff.ts';
import { type Doubt, shortGroups, shrinks } from './doubt.ts';
import type { CompleteResponse, Judgement } from './judge.ts';
import { isBehind, type MirrorResult } from './mirror-result.ts';
import {
  afterGone,
  afterHeld,
  afterRead,
  awaitingConfirmation,
  calibrationSampleOfRead,
} from './next-state.ts';
import type { PollDeps } from './poll-deps.ts';
import { writeGroups } from './write-groups.ts';

/** The transaction that has locked the account, and what was found in it. */
interface Writing {
  readonly trx: Transaction<DB>;
  readonly deps: PollDeps;
  readonly account: ClaimedAccount;
  readonly answer: CompleteResponse;
  readonly mirror: readonly MirroredGroup[];
  /** Whether everything was requested for it. */
  readonly full: boolean;
  /** When what is written was observed, in milliseconds. */
  readonly at: number;
}

/** Writes what a judgement allows, and the account's next state, in the transaction that has locked the account. */
export function writeJudgement(writing: Writing, judgement: Judgement): Promise<MirrorResult> {
  switch (judgement.decision) {
    case 'apply':
      return apply(writing, judgement);
    case 'await':
      return awaitSecond(writing, judgement);
    case 'hold':
      return hold(writing, judgement);
    default:
      return judgement satisfies never;
  }
}

async function apply(
  { trx, deps, account, answer, mirror, full, at }: Writing,
  { diff, confirmed }: Judgement & { decision: 'apply' },
): Promise<MirrorResult> {
  if (isBehind(account)) await forgetHeldRemoval(trx, account.accountKey);
  if (confirmed !== undefined && shrinks(confirmed, mirror, diff))
    await noteShrunk(trx, { ...ownerOf(deps, account), ...countRemovals(diff) }, true);
  await write(deps, trx, account, answer, at, diff);
  const nothing = isEmpty(diff);
  const queue = deps.policy.queue();
  if (answer.kind === 'gone') {
    const record = afterGone(account, at, emptyHash, queue, deps.random);
    await recordPolls(trx, deps.appId, [nothing ? record : { ...record, changedAt: at }]);
    if (nothing) return { outcome: 'gone' };
    return { outcome: 'changed', summary: describeDiff(diff), written: countChanges(diff) };
  }
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

/** Writes what the response adds. Removals, sequence and `verified_at` wait for the second response. */
async function awaitSecond(
  { trx, deps, account, answer, mirror, at }: Writing,
  { doubt, mark, diff, whole }: Judgement & { decision: 'await' },
): Promise<MirrorResult> {
  // Each first answer counts once, however often it is read again.
  if (shrinks(doubt, mirror, whole) && mark !== account.pendingHash)
    await noteShrunk(trx, { ...ownerOf(deps, account), ...countRemovals(whole) }, false);
  await write(deps, trx, account, answer, at, diff);
  const record = {
    ...awaitingConfirmation(
      account,
      mark,
      answer.sentAt,
      deps.policy.confirmRemovalAfterMs,
      deps.policy.queue(),
    ),
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
): Promise<MirrorResult> {
  await write(deps, trx, account, answer, at, diff);
  await holdRemoval(trx, { ...ownerOf(deps, account), ...countRemovals(whole) });
  const record = {
    ...afterHeld(account, deps.policy.queue(), deps.random),
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
  deps: PollDeps,
  trx: Transaction<DB>,
  account: ClaimedAccount,
  answer: CompleteResponse,
  at: number,
  diff: GroupDiff,
): Promise<void> {
  const sequence = answer.kind === 'gone' ? null : answer.sequence;
  await writeGroups(trx, { ...ownerOf(deps, account), at, sequence }, diff);
}

/** A partial write: the mirror then equals no response, so the hash is cleared and the next one compared in full. */
function withAdditions(account: ClaimedAccount, diff: GroupDiff, at: number): Partial<PollRecord> {
  if (isEmpty(diff)) return {};
  return { contentHash: null, groupCount: account.groupCount + diff.addedGroups.length, changedAt: at };
}

function ownerOf(deps: PollDeps, account: ClaimedAccount) {
  return { appId: deps.appId, accountKey: account.accountKey };
}

function describeDoubt(doubt: Doubt | 'gone', answer: CompleteResponse, whole: GroupDiff): string {
  const going = `read again before it is believed: ${describeDiff(whole)}`;
  switch (doubt) {
    case 'removes_much':
      return `the answer takes much away; ${going}`;
    case 'unexpectedly_empty':
      return 'the response is empty although the sequence moved; it is read again';
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
