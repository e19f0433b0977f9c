import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readMirrorRows } from '../../db/queries/mirror.ts';
import type { PollOutcome } from '../../src/sync/poll-account.ts';
import { mutatedAnswer, readPlainly } from '../support/answers.ts';
import { runs } from '../support/effort.ts';
import { type RawVendor, startRawVendor } from '../support/raw-vendor.ts';
import { currentRows, replayFeed, rowsAt } from '../support/replay.ts';
import { createWorld, testApp, type World } from '../support/world.ts';

let world: World;
let vendor: RawVendor;
let answer = () => '';

beforeAll(async () => {
  world = await createWorld();
  vendor = await startRawVendor(() => answer(), world.deps.now);
});

afterAll(async () => {
  await vendor?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});

const poll = (id: string) => world.poll(id, { client: vendor.client, policy: { confirmRemovalAfterMs: 0 } });

/** Groups with their counts and members, in one form for the mirror and for answers. */
type Rows = Readonly<Record<string, readonly [friendNumber: number, members: readonly string[]]>>;

async function rowsOf(id: string): Promise<Rows> {
  const { groups, members } = await readMirrorRows(world.db, testApp.appId, [id]);
  return inOrder(
    groups.map(([, name, count]) => [
      name,
      [count, members.filter(([, group]) => group === name).map(([, , friend]) => friend)],
    ]),
  );
}

/** The rows an answer represents; JSON knows a -0, which Postgres stores as 0. */
function rowsIn(text: string): Rows | undefined {
  const reported = readPlainly(text);
  return (
    reported &&
    inOrder([...reported.groups].map(([name, group]) => [name, [group.friendNumber + 0, [...group.members]]]))
  );
}

function inOrder(rows: readonly (readonly [string, readonly [number, readonly string[]]])[]): Rows {
  // By name: rows come from tables in whatever order they are read.
  const sorted = rows.toSorted(([one], [other]) => (one < other ? -1 : 1));
  return Object.fromEntries(sorted.map(([name, [count, members]]) => [name, [count, members.toSorted()]]));
}

describe('answers gone wrong', () => {
  /** Outcomes of answers that could be read; the others say nothing of the account. */
  const readable: ReadonlySet<PollOutcome> = new Set(['unchanged', 'changed', 'removal_pending', 'gone']);

  function saysGone(answered: string): boolean {
    try {
      return JSON.parse(answered).ErrorCode === 30_003;
    } catch {
      return false;
    }
  }

  /** Whether the last of the calls may have turned `before` into `after`; an account is gone when two answers say so. */
  function isJustified(
    before: Rows,
    after: Rows,
    calls: ReturnType<RawVendor['take']>,
    wasGone: boolean,
  ): boolean {
    const { asked, answered } = calls.at(-1) ?? { asked: '{}', answered: '{}' };
    if (saysGone(answered)) return wasGone && Object.keys(after).length === 0;
    const reported = rowsIn(answered);
    if (reported === undefined) return false;
    expect(after).toEqual(reported);
    return (
      JSON.parse(asked).LastSequence === 0 ||
      Object.keys(before).every((name) => Object.hasOwn(reported, name))
    );
  }

  /** What was there, and beside it what the last of the answers has that was not. */
  function withAdditions(before: Rows, calls: ReturnType<RawVendor['take']>): Rows {
    const reported = rowsIn(calls.at(-1)?.answered ?? '') ?? {};
    const all = { ...reported, ...before };
    return inOrder(
      Object.entries(all).map(([name, [count, members]]) => [
        name,
        withNewcomers(count, members, !Object.hasOwn(before, name), reported[name]?.[1] ?? []),
      ]),
    );
  }

  /** A group's count grows by those who come; that of a new one is of those who are listed. */
  function withNewcomers(
    count: number,
    members: readonly string[],
    isNew: boolean,
    reported: readonly string[],
  ): readonly [number, readonly string[]] {
    const all = [...new Set([...members, ...reported])];
    const counted = isNew ? Math.min(count, all.length) : count + all.length - members.length;
    return [Math.min(counted, 2_147_483_647), all];
  }

  test(
    'never crash a poll, and nothing is written but what a complete answer says',
    async () => {
      const ids = ['a', 'b', 'c', 'd'];
      await world.addAccounts(...ids);
      answer = () => mutatedAnswer(world.random);
      // Of each account, whether the newest answer that could be read says that there is none.
      const gone = new Map<string, boolean>();
      const outcomes = new Map<PollOutcome, number>();
      for (let run = runs(400); run > 0; run -= 1) {
        const id = world.random.pick(ids);
        const before = await rowsOf(id);
        const { outcome } = await poll(id);
        const after = await rowsOf(id);
        const calls = vendor.take();
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        if (JSON.stringify(after) !== JSON.stringify(before)) {
          expect(['changed', 'removal_pending']).toContain(outcome);
          // What waits for a second answer has added what it has, and removed nothing.
          if (outcome === 'removal_pending') expect(after).toEqual(withAdditions(before, calls));
          else
            expect(
              isJustified(before, after, calls, gone.get(id) ?? false),
              JSON.stringify({ before, after, calls }),
            ).toBe(true);
        }
        if (readable.has(outcome)) gone.set(id, saysGone(calls.at(-1)?.answered ?? ''));
      }
      expect(outcomes.get('storage_failed'), 'answers that the database refused').toBeUndefined();
      for (const outcome of ['changed', 'transient', 'quarantined'] as const)
        expect(outcomes.get(outcome), outcome).toBeGreaterThan(runs(10));
      const rows = await currentRows(world.db);
      expect(await replayFeed(world.db)).toEqual(rows);
      expect(await rowsAt(world.db, 'infinity')).toEqual(rows);
    },
    runs(60_000),
  );
});

describe('a sequence', () => {
  let next = 0;

  /** An account whose groups have been read at sequence 7. */
  async function readAt7(): Promise<string> {
    next += 1;
    const id = `sequence-${next}`;
    await world.addAccounts(id);
    answer = () => reported('7', ['x']);
    await poll(id);
    vendor.take();
    return id;
  }

  const reported = (sequence: string, members: readonly string[]) =>
    `{"ErrorCode":0,"ResultItem":[{"GroupName":"家人","To_Account":${JSON.stringify(members)}}],"CurrentSequence":${sequence}}`;

  async function stored(id: string): Promise<unknown> {
    const { rows } = await sql`
      select
        sequence::text,
        (select sequence::text from tim.changes where account_id = ${id} order by change_id desc limit 1) as in_feed,
        last_error
      from tim.accounts where account_id = ${id}
    `.execute(world.db);
    return rows[0];
  }

  test.each(['9007199254740991', '9007199254740990', '4294967296', '8', '6', '0'])(
    'of %s survives unharmed, into the tables and back to the vendor',
    async (sequence) => {
      const id = await readAt7();
      answer = () => reported(sequence, ['x', 'y']);
      expect((await poll(id)).outcome).toBe('changed');
      expect(await stored(id)).toEqual({ sequence, in_feed: sequence, last_error: null });
      vendor.take();
      expect((await poll(id)).outcome).toBe('unchanged');
      expect(vendor.take()[0]?.asked).toContain(`"LastSequence":${sequence},`);
    },
  );

  test.each([
    '9007199254740992',
    '9007199254740993',
    '18446744073709551615',
    '1e400',
    '-1',
    '1.5',
    '"8"',
    'null',
    '[8]',
  ])('of %s is refused with a reason, and nothing is written', async (sequence) => {
    const id = await readAt7();
    answer = () => reported(sequence, ['x', 'y']);
    expect((await poll(id)).outcome).toBe('transient');
    expect(await stored(id)).toEqual({
      sequence: '7',
      in_feed: '7',
      last_error: expect.stringContaining('CurrentSequence is not what the API promises'),
    });
    expect(await rowsOf(id)).toEqual({ 家人: [1, ['x']] });
  });
});
