import type { ClaimedAccount } from '../../db/queries/claims.ts';
import type { MirroredGroup } from '../../db/queries/groups.ts';
import type { FriendGroup } from '../tencent/wire.ts';
import { diffGroups, type GroupDiff, takesAnything, withoutRemovals } from './diff.ts';
import { type Doubt, doubtOf, markOf } from './doubt.ts';

/** A complete answer beside what the mirror holds, and what is known of removals in its app. */
export interface Case {
  readonly account: Pick<ClaimedAccount, 'sequence' | 'pendingHash' | 'pendingAt'>;
  readonly answer: CompleteResponse;
  readonly mirror: readonly MirroredGroup[];
  /** Removals of the app wait for an operator. */
  readonly removalsHeld: boolean;
  /** An operator has let those of this account through. */
  readonly released: boolean;
  /** The removals breaker has too few reads to decide, so no response is confirmed yet. */
  readonly undecided: boolean;
  /** A response in doubt is read again after this many ms. A confirming one must be sent at least half of it later. */
  readonly confirmAfterMs: number;
}

/** All groups of an account as the vendor has them; `gone`: it says that the account does not exist. */
export type CompleteResponse =
  | {
      readonly kind: 'groups';
      readonly groups: readonly FriendGroup[];
      readonly sequence: number;
      readonly sentAt: number;
    }
  | { readonly kind: 'gone'; readonly sentAt: number };

/** What is done with an answer. What it adds is always written at once; `diff` is the part that is written now. */
export type Judgement =
  /** All of it is written. `confirmed`: why it took a second answer. */
  | { readonly decision: 'apply'; readonly diff: GroupDiff; readonly confirmed: Doubt | 'gone' | undefined }
  /** What it leaves out waits for a second answer that agrees with `mark`. */
  | {
      readonly decision: 'await';
      readonly doubt: Doubt | 'gone';
      readonly mark: string;
      readonly diff: GroupDiff;
      readonly whole: GroupDiff;
    }
  /** What it leaves out waits for an operator. */
  | { readonly decision: 'hold'; readonly diff: GroupDiff; readonly whole: GroupDiff };

/** Marks a removal that rests on "no such account", and not on an answer. */
const goneMark = '0'.repeat(32);

/**
 * All rules of removal. Only a complete answer gets here.
 * 1. While removals of the app are held, nothing is removed.
 * 2. An answer in doubt, or "no such account", removes nothing by itself: a second one must agree with it in what the
 *    doubt is about, at least half of the waiting time later, and not while the breaker is undecided.
 * 3. What an operator has released needs no second answer.
 * 4. Everything else is written at once.
 */
export function judge(facts: Case): Judgement {
  const { answer, mirror } = facts;
  const whole = diffGroups(mirror, answer.kind === 'gone' ? [] : answer.groups);
  if (facts.removalsHeld && takesAnything(whole))
    return { decision: 'hold', diff: withoutRemovals(whole, mirror), whole };

  const inDoubt = doubtAndMark(facts);
  if (inDoubt === undefined) return { decision: 'apply', diff: whole, confirmed: undefined };
  const { doubt, mark } = inDoubt;
  if (facts.released || (isConfirmed(facts, mark) && !facts.undecided))
    return { decision: 'apply', diff: whole, confirmed: doubt };
  return { decision: 'await', doubt, mark, diff: withoutRemovals(whole, mirror), whole };
}

function doubtAndMark({ account, answer, mirror }: Case) {
  if (answer.kind === 'gone')
    return mirror.length === 0 ? undefined : ({ doubt: 'gone', mark: goneMark } as const);
  const facts = { mirror, ...answer, storedSequence: account.sequence };
  const doubt = doubtOf(facts);
  return doubt === undefined ? undefined : { doubt, mark: markOf(doubt, facts) };
}

/**
 * Whether this response confirms the pending one. Half of the waiting time must have passed, because a request puts an
 * account first in the queue, and two responses within moments are no better than one.
 */
export function isConfirmed(
  {
    account,
    answer,
    confirmAfterMs,
  }: Pick<Case, 'account' | 'confirmAfterMs'> & {
    readonly answer: { readonly sentAt: number };
  },
  mark: string,
): boolean {
  return (
    mark === account.pendingHash && answer.sentAt - (account.pendingAt ?? answer.sentAt) >= confirmAfterMs / 2
  );
}
