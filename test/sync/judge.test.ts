import { expect, test } from 'vitest';
import type { MirroredGroup } from '../../db/queries/groups.ts';
import { type Doubt, doubtOf, markOf } from '../../src/sync/doubt.ts';
import { type Case, type CompleteResponse, type Judgement, judge } from '../../src/sync/judge.ts';
import type { FriendGroup } from '../../src/tencent/wire.ts';

/** What is known when an answer comes. */
type Situation =
  | 'it is the first'
  | 'one that agrees came moments before'
  | 'one that agrees came half a minute before'
  | 'one that agrees came before, and the breaker is undecided'
  | 'one that differs came before'
  | 'an operator has released it'
  | 'removals of the app are held';

type Kind = Doubt | 'gone' | 'an ordinary removal' | 'an addition' | 'gone, and nothing was held';

const decisions: Record<Kind, Record<Situation, Judgement['decision']>> = {
  removes_much: waits(),
  // Of an account that holds nothing, nothing is removed.
  unexpectedly_empty: { ...waits(), 'removals of the app are held': 'apply' },
  contradicts_itself: waits(),
  gone: waits(),
  'an ordinary removal': { ...alwaysApplied(), 'removals of the app are held': 'hold' },
  'an addition': alwaysApplied(),
  'gone, and nothing was held': alwaysApplied(),
};

function waits(): Record<Situation, Judgement['decision']> {
  return {
    'it is the first': 'await',
    'one that agrees came moments before': 'await',
    'one that agrees came half a minute before': 'apply',
    'one that agrees came before, and the breaker is undecided': 'await',
    'one that differs came before': 'await',
    'an operator has released it': 'apply',
    'removals of the app are held': 'hold',
  };
}

function alwaysApplied(): Record<Situation, Judgement['decision']> {
  return {
    'it is the first': 'apply',
    'one that agrees came moments before': 'apply',
    'one that agrees came half a minute before': 'apply',
    'one that agrees came before, and the breaker is undecided': 'apply',
    'one that differs came before': 'apply',
    'an operator has released it': 'apply',
    'removals of the app are held': 'apply',
  };
}

const now = 1_000_000_000;
const group = (name: string, members: readonly string[], friendNumber = members.length): FriendGroup => ({
  name,
  friendNumber,
  members,
});
const mirrored = (groups: readonly FriendGroup[]): readonly MirroredGroup[] =>
  groups.map((each, index) => ({ ...each, groupKey: index + 1 }));
const answered = (...groups: readonly FriendGroup[]): CompleteResponse => ({
  kind: 'groups',
  groups,
  sequence: 7,
  sentAt: now,
});

const before = mirrored([group('a', ['x', 'y', 'z'])]);

const answers: Record<
  Kind,
  { readonly mirror: readonly MirroredGroup[]; readonly answer: CompleteResponse }
> = {
  removes_much: { mirror: before, answer: answered() },
  unexpectedly_empty: { mirror: [], answer: answered() },
  contradicts_itself: { mirror: before, answer: answered(group('a', ['x', 'new'], 4)) },
  gone: { mirror: before, answer: { kind: 'gone', sentAt: now } },
  'an ordinary removal': { mirror: before, answer: answered(group('a', ['x', 'y'])) },
  'an addition': { mirror: before, answer: answered(group('a', ['x', 'y', 'z', 'new'])) },
  'gone, and nothing was held': { mirror: [], answer: { kind: 'gone', sentAt: now } },
};

/** The mark that a first answer like this one leaves. */
function firstMark({ mirror, answer }: Pick<Case, 'mirror' | 'answer'>): string {
  if (answer.kind === 'gone') return '0'.repeat(32);
  const facts = { ...answer, mirror, storedSequence: 3 };
  const doubt = doubtOf(facts);
  return doubt === undefined ? '1'.repeat(48) : markOf(doubt, facts);
}

const situations: Record<Situation, (mark: string) => Partial<Case> & { pending?: [string, number] }> = {
  'it is the first': () => ({}),
  'one that agrees came moments before': (mark) => ({ pending: [mark, now - 29_999] }),
  'one that agrees came half a minute before': (mark) => ({ pending: [mark, now - 30_000] }),
  'one that agrees came before, and the breaker is undecided': (mark) => ({
    pending: [mark, now - 60_000],
    undecided: true,
  }),
  'one that differs came before': () => ({ pending: ['2'.repeat(48), now - 60_000] }),
  'an operator has released it': () => ({ released: true }),
  'removals of the app are held': (mark) => ({ pending: [mark, now - 60_000], removalsHeld: true }),
};

const table = Object.entries(decisions).flatMap(([kind, row]) =>
  Object.entries(row).map(
    ([situation, decision]) => [kind as Kind, situation as Situation, decision] as const,
  ),
);

test.each(table)('%s: when %s, the decision is %s', (kind, situation, decision) => {
  const facts = answers[kind];
  const { pending, ...known } = situations[situation](firstMark(facts));
  const judgement = judge({
    account: { sequence: 3, pendingHash: pending?.[0] ?? null, pendingAt: pending?.[1] ?? null },
    ...facts,
    removalsHeld: false,
    released: false,
    undecided: false,
    confirmAfterMs: 60_000,
    ...known,
  });
  expect(judgement.decision).toBe(decision);
  // Whatever waits, nothing is removed and everything that came is written.
  if (judgement.decision !== 'apply') {
    expect(judgement.diff).toMatchObject({ removedGroups: [], removedMembers: [] });
    expect(judgement.diff.addedMembers).toEqual(judgement.whole.addedMembers);
    expect(judgement.diff.addedGroups.map(({ name, members }) => [name, members])).toEqual(
      judgement.whole.addedGroups.map(({ name, members }) => [name, members]),
    );
  }
});
