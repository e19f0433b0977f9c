import type { ClaimedAccount } from '../../db/queries/claims.ts';
import { type LockedAccount, loadGroups, lockAccount, type MirroredGroup } from '../../db/queries/groups.ts';
import { isReleased } from '../../db/queries/held-removals.ts';
import type { GroupRead } from '../tencent/client.ts';
import { emptyHash } from './content-hash.ts';
import { isEmpty } from './diff.ts';
import { type CompleteResponse, type Judgement, judge } from './judge.ts';
import { isBehind, type MirrorResult } from './mirror-result.ts';
import { afterGone, afterRead, calibrationSampleOfRead } from './next-state.ts';
import type { PollDeps } from './poll-deps.ts';
import { type PollCall, type Reading, readAccount } from './read-account.ts';
import { observeRepeats, observeStep, type SequenceObservation } from './sequence-evidence.ts';
import { writeJudgement } from './write-judgement.ts';

/**
 * Reads one account and brings the mirror up to it: read, judge, write. Right under every semantics of the sequence
 * (which may count changes or not, and whose responses may hold everything or only what changed). Only a response
 * known to be complete removes anything; the rules are in `judge`.
 * Throws TencentError when the vendor gives no usable response; nothing is written then.
 */
export async function mirrorAccount(
  deps: PollDeps,
  account: ClaimedAccount,
  call: PollCall,
): Promise<MirrorResult> {
  const reading = await readAccount(deps, account, call);
  const { everything } = reading;
  if (everything === undefined) return unchanged(deps, account, reading);
  const complete = { ...reading, everything };
  const full = reading.requested === 0 || everything !== reading.first;
  return judgeAndWrite(deps, account, { kind: 'groups', ...everything }, full, (mirror, judgement) =>
    observeAll(account, mirror, complete, judgement),
  );
}

/** What to do when the vendor says that the account does not exist: believed the second time, then emptied. */
export async function mirrorGoneAccount(
  deps: PollDeps,
  account: ClaimedAccount,
  at: number,
): Promise<MirrorResult> {
  if (account.groupCount === 0)
    return { outcome: 'gone', record: afterGone(account, at, emptyHash, deps.policy.queue(), deps.random) };
  return judgeAndWrite(deps, account, { kind: 'gone', sentAt: at }, true, () => undefined);
}

function unchanged(deps: PollDeps, account: ClaimedAccount, { first, requested }: Reading): MirrorResult {
  const seen = {
    at: first.sentAt,
    sequence: first.sequence,
    changed: first.sequence !== account.sequence,
    full: requested === 0,
  };
  return {
    outcome: 'unchanged',
    record: afterRead(account, seen, deps.policy.queue(), deps.random),
    evidence: observeStep(requested, first),
    sample: calibrationSampleOfRead(account, seen),
  };
}

/** Judges a complete response and writes what the judgement allows, in one transaction. */
async function judgeAndWrite(
  deps: PollDeps,
  account: ClaimedAccount,
  answer: CompleteResponse,
  full: boolean,
  observe: (mirror: readonly MirroredGroup[], judgement: Judgement) => MirrorResult['evidence'],
): Promise<MirrorResult> {
  // Ahead of the transaction: it may hold the removals of the whole app.
  const undecided = !(await mayBelieveSecond(deps, account));
  return deps.db.transaction().execute(async (trx): Promise<MirrorResult> => {
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
      confirmAfterMs: deps.policy.confirmRemovalAfterMs,
    });
    const at = observedAt(answer.sentAt, locked);
    const result = await writeJudgement({ trx, deps, account, answer, mirror, full, at }, judgement);
    const evidence = observe(mirror, judgement);
    return evidence === undefined ? result : { ...result, evidence };
  });
}

/** Whether a second response may be believed; true where none is awaited. */
async function mayBelieveSecond({ health, now }: PollDeps, account: ClaimedAccount): Promise<boolean> {
  if (account.pendingHash === null) return true;
  const firstAgoMs = now() - (account.pendingAt ?? now());
  return health.mayBelieve(Math.max(0, firstAgoMs) / 1000);
}

/**
 * The moment of a write: when the request was sent, but not in the future, and at least 2 µs after the last write of the
 * account, however far the clocks are apart. Postgres counts microseconds and a number of milliseconds is good to a
 * quarter of one: without the 2 µs, two periods of a membership could begin at the same moment.
 */
function observedAt(sentAt: number, { lastAt, now }: LockedAccount): number {
  return Math.max(lastAt + 0.002, Math.min(sentAt, now));
}

function observeAll(
  account: ClaimedAccount,
  mirror: readonly MirroredGroup[],
  { first, requested, everything }: Reading & { readonly everything: GroupRead },
  judgement: Judgement,
): readonly SequenceObservation[] {
  const step = observeStep(requested, first);
  // Without a hash the mirror is known to lag behind, and differences prove nothing.
  if (account.contentHash === null) return step;
  const whole = judgement.decision === 'apply' ? judgement.diff : judgement.whole;
  if (everything.sequence === account.sequence && !isEmpty(whole)) return [...step, 'silent_change'];
  return requested !== 0 && first.sequence > requested
    ? [...step, ...observeRepeats(mirror, first, everything.groups)]
    : step;
}
