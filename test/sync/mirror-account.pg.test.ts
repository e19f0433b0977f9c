import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { MirrorPollState } from '../../db/schema.ts';
import { removeAccounts } from '../../src/accounts/remove-accounts.ts';
import { createStop } from '../../src/lifecycle.ts';
import { shortestUnitSeconds } from '../../src/schedule/queue-stats.ts';
import { type Reading, readings } from '../../src/simulator/group-api.ts';
import { populate, randomChange } from '../../src/simulator/population.ts';
import { explainAccount } from '../../src/status/explain-account.ts';
import { emptyHash } from '../../src/sync/content-hash.ts';
import { pollAccount } from '../../src/sync/poll-account.ts';
import type { TencentClient } from '../../src/tencent/client.ts';
import { currentRows, replayFeed, rowsAt } from '../support/replay.ts';
import { createWorld, testApp, type World } from '../support/world.ts';

let world: World;
let next = 0;
let id: string;

beforeAll(async () => {
  world = await createWorld();
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

// Each test has an account of its own.
beforeEach(async () => {
  next += 1;
  id = `account-${next}`;
  world.vendor.setReading('full');
  world.vendor.setFaults([]);
  await world.addAccounts(id);
});

const addGroup = (group: string, members: string[] = []) =>
  world.vendor.truth.change(id, { kind: 'add_group', group, members });
const friends = (count: number) => Array.from({ length: count }, (_, index) => `friend-${index}`);

async function stateOf(account: string) {
  const { rows } = await sql<MirrorPollState & { verified_at: Date }>`
    select state.* from mirror.poll_state state join mirror.account using (account_key) where account_id = ${account}
  `.execute(world.db);
  if (rows[0] === undefined) throw new Error('no state');
  return rows[0];
}

async function groupsOf(account: string): Promise<Record<string, string[]>> {
  const { rows } = await sql<{ name: string; members: string[] }>`
    select group_name as name, array(
      select friend_id from tim.friend_group_members member
      where member.account_id = friend_groups.account_id and member.group_name = friend_groups.group_name
      order by friend_id collate "C"
    ) as members
    from tim.friend_groups where account_id = ${account}
  `.execute(world.db);
  return Object.fromEntries(rows.map(({ name, members }) => [name, members]));
}

async function feedOf(account: string): Promise<string[]> {
  const { rows } = await sql<{ line: string }>`
    select concat_ws(' ', kind, group_name, friend_id, old_group_name) as line from tim.changes
    where account_id = ${account} order by tx_id, change_id
  `.execute(world.db);
  return rows.map(({ line }) => line);
}

const callsDuring = async (act: () => Promise<unknown>): Promise<number> => {
  const before = world.vendor.stats().calls;
  await act();
  return world.vendor.stats().calls - before;
};

describe.each(readings)('whatever the sequence means (%s)', (reading: Reading) => {
  beforeEach(() => world.vendor.setReading(reading));

  test('the first read brings everything, the second finds nothing new', async () => {
    addGroup('家人', ['bob', 'carol']);
    addGroup('empty');
    expect((await world.poll(id)).outcome).toBe('changed');
    expect(await groupsOf(id)).toEqual({ 家人: ['bob', 'carol'], empty: [] });
    expect(await callsDuring(async () => expect((await world.poll(id)).outcome).toBe('unchanged'))).toBe(1);
    expect(await feedOf(id)).toHaveLength(4);
  });

  test('every kind of change arrives', async () => {
    addGroup('a', ['x', 'y']);
    addGroup('b', ['z']);
    await world.poll(id);
    const { truth } = world.vendor;
    for (const change of [
      { kind: 'add_members', group: 'a', members: ['w'] },
      { kind: 'remove_members', group: 'a', members: ['x'] },
      { kind: 'rename_group', group: 'a', to: 'ä' },
      { kind: 'move_member', group: 'ä', to: 'b', member: 'w' },
      { kind: 'add_group', group: 'c', members: ['q'] },
      { kind: 'remove_group', group: 'c' },
    ] as const) {
      truth.change(id, change);
      expect((await world.poll(id)).outcome).toBe('changed');
      const reported = Object.fromEntries(
        [...(truth.account(id)?.groups ?? [])].map(([name, group]) => [name, [...group.members].sort()]),
      );
      expect(await groupsOf(id)).toEqual(reported);
    }
  });

  test('a deleted group goes, though nothing in the answer speaks of it', async () => {
    addGroup('stays', ['x']);
    addGroup('goes', ['x']);
    await world.poll(id);
    world.vendor.truth.change(id, { kind: 'remove_group', group: 'goes' });
    expect((await world.poll(id)).outcome).toBe('changed');
    expect(await groupsOf(id)).toEqual({ stays: ['x'] });
  });

  test('a group that has a new name is reported as renamed beside its removal and addition, and an empty one is not', async () => {
    addGroup('家人', ['x', 'y']);
    addGroup('empty');
    await world.poll(id);
    world.vendor.truth.change(id, { kind: 'rename_group', group: '家人', to: '亲人' });
    world.vendor.truth.change(id, { kind: 'rename_group', group: 'empty', to: 'void' });
    await world.poll(id);
    expect((await feedOf(id)).slice(4).toSorted()).toEqual([
      'group_added void',
      'group_added 亲人',
      'group_removed empty',
      'group_removed 家人',
      'group_renamed 亲人 家人',
      'member_added 亲人 x',
      'member_added 亲人 y',
      'member_removed 家人 x',
      'member_removed 家人 y',
    ]);
    expect((await feedOf(id)).at(-1)).toBe('group_renamed 亲人 家人');
    expect(await groupsOf(id)).toEqual({ 亲人: ['x', 'y'], void: [] });
  });

  test('a sequence that went back brings the truth', async () => {
    addGroup('a', ['x']);
    addGroup('b', ['x']);
    await world.poll(id);
    world.vendor.truth.change(id, { kind: 'add_members', group: 'a', members: ['y'] });
    world.vendor.truth.setSequence(id, 1);
    await world.poll(id);
    expect(await groupsOf(id)).toEqual({ a: ['x', 'y'], b: ['x'] });
    expect((await stateOf(id)).sequence).toBe(1);
  });

  test('any history of changes ends in the truth, and feed and history lead there', async () => {
    const { truth } = world.vendor;
    const ids = populate(truth, 12, world.random).map((name) => `${name}`);
    await world.addAccounts(...ids);
    const moments: { at: string; rows: readonly string[] }[] = [];
    for (let round = 0; round < 25; round += 1) {
      for (const account of ids) {
        if (world.random.next() < 0.5)
          truth.change(account, randomChange(truth, account, ids, world.random, 1));
        // Twice, so that removals that had to be confirmed are.
        await world.poll(account);
        await world.passTime(60);
        await world.poll(account);
      }
      const { rows } = await sql<{ now: string }>`select clock_timestamp()::text as now`.execute(world.db);
      moments.push({ at: rows[0]?.now ?? '', rows: await currentRows(world.db) });
    }
    const { missing, invented } = await world.differences();
    const mine = (row: string) => ids.some((account) => row.includes(`"${account}"`));
    expect({ missing: missing.filter(mine), invented: invented.filter(mine) }).toEqual({
      missing: [],
      invented: [],
    });
    expect(await replayFeed(world.db)).toEqual(await currentRows(world.db));
    for (const moment of moments) expect(await rowsAt(world.db, moment.at)).toEqual(moment.rows);
    for (const account of ids) truth.removeAccount(account);
    await sql`delete from mirror.change where account_key in (select account_key from mirror.account where account_id = any(${ids}::text[]))`.execute(
      world.db,
    );
    await sql`delete from mirror.account where account_id = any(${ids}::text[])`.execute(world.db);
  });
});

describe('completeness', () => {
  test('an answer that holds only what changed removes nothing: everything is asked for', async () => {
    world.vendor.setReading('changed');
    addGroup('a', ['x']);
    addGroup('b', ['y']);
    await world.poll(id);
    world.vendor.truth.change(id, { kind: 'add_members', group: 'a', members: ['z'] });
    expect(await callsDuring(() => world.poll(id))).toBe(2);
    expect(await groupsOf(id)).toEqual({ a: ['x', 'z'], b: ['y'] });
  });

  test('an answer that names every group we hold needs no second call', async () => {
    world.vendor.setReading('changed');
    addGroup('only', ['x']);
    await world.poll(id);
    world.vendor.truth.change(id, { kind: 'add_members', group: 'only', members: ['z'] });
    expect(await callsDuring(() => world.poll(id))).toBe(1);
    expect(await groupsOf(id)).toEqual({ only: ['x', 'z'] });
  });

  test('when the second call fails, nothing is written and the sequence stays', async () => {
    world.vendor.setReading('changed');
    addGroup('a', ['x']);
    addGroup('b', ['y']);
    await world.poll(id);
    world.vendor.truth.change(id, { kind: 'remove_group', group: 'b' });
    let calls = 0;
    const client = {
      ...world.client,
      groupGet: (...call: Parameters<typeof world.client.groupGet>) => {
        calls += 1;
        if (calls === 2) world.vendor.setFaults([{ kind: 30006, probability: 1 }]);
        return world.client.groupGet(...call);
      },
    };
    expect((await world.poll(id, { client })).outcome).toBe('transient');
    expect(await groupsOf(id)).toEqual({ a: ['x'], b: ['y'] });
    expect((await stateOf(id)).sequence).toBe(2);
  });

  test('content that changed under the same sequence is found by the next full read', async () => {
    addGroup('a', ['x']);
    await world.poll(id);
    world.vendor.truth.change(id, { kind: 'add_members', group: 'a', members: ['y'] });
    world.vendor.truth.setSequence(id, 1);
    expect((await world.poll(id)).outcome).toBe('unchanged');
    const later = () => world.deps.now() + 8 * 86_400_000;
    expect((await world.poll(id, { now: later })).outcome).toBe('changed');
    expect(await groupsOf(id)).toEqual({ a: ['x', 'y'] });
  });

  test('full reads come with ordinary polls, and those of accounts enrolled together drift apart', async () => {
    const ids = Array.from({ length: 20 }, (_, index) => `${id}-${index}`);
    await world.addAccounts(...ids);
    for (const account of ids) {
      world.vendor.truth.change(account, { kind: 'add_group', group: 'a' });
      await world.poll(account);
    }
    /** How many ask for everything when they are polled this many days later. */
    const fullReads = async (days: number) => {
      const asked: number[] = [];
      const client: TencentClient = {
        ...world.client,
        groupGet: (account, lastSequence, stop) => {
          asked.push(lastSequence);
          return world.client.groupGet(account, lastSequence, stop);
        },
      };
      const now = () => world.deps.now() + days * 86_400_000;
      for (const account of ids) await world.poll(account, { client, now });
      expect(asked).toHaveLength(ids.length);
      return asked.filter((sequence) => sequence === 0).length;
    };
    expect(await fullReads(6.2)).toBe(0);
    const atSeven = await fullReads(7);
    expect(atSeven).toBeGreaterThan(4);
    expect(atSeven).toBeLessThan(16);
    expect(await fullReads(7.8)).toBe(20);
  });

  test('content that changed under the same sequence is found at once where the vendor always sends everything', async () => {
    world.vendor.setReading('ignored');
    addGroup('a', ['x']);
    await world.poll(id);
    world.vendor.truth.change(id, { kind: 'add_members', group: 'a', members: ['y'] });
    world.vendor.truth.setSequence(id, 1);
    expect((await world.poll(id)).outcome).toBe('changed');
    expect(await groupsOf(id)).toEqual({ a: ['x', 'y'] });
  });
});

describe('a removal that takes too much', () => {
  test('is read again before it is believed, and then written', async () => {
    addGroup('a', ['x']);
    await world.poll(id);
    world.vendor.truth.change(id, { kind: 'clear' });
    expect((await world.poll(id)).outcome).toBe('removal_pending');
    expect(await groupsOf(id)).toEqual({ a: ['x'] });
    expect((await stateOf(id)).sequence).toBe(1);
    await world.passTime(60);
    expect((await world.poll(id)).outcome).toBe('changed');
    expect(await groupsOf(id)).toEqual({});
    expect(await feedOf(id)).toEqual([
      'group_added a',
      'member_added a x',
      'member_removed a x',
      'group_removed a',
    ]);
  });

  test('that was wrong is forgotten', async () => {
    addGroup('a', ['x']);
    await world.poll(id);
    world.vendor.truth.change(id, { kind: 'add_members', group: 'a', members: ['y'] });
    world.vendor.setFaults([{ kind: 'empty', probability: 1 }]);
    expect((await world.poll(id)).outcome).toBe('removal_pending');
    world.vendor.setFaults([]);
    expect((await world.poll(id)).outcome).toBe('changed');
    expect(await groupsOf(id)).toEqual({ a: ['x', 'y'] });
    expect((await stateOf(id)).pending_hash).toBeNull();
    // A later wrong answer begins from the start.
    world.vendor.truth.change(id, { kind: 'add_members', group: 'a', members: ['z'] });
    world.vendor.setFaults([{ kind: 'empty', probability: 1 }]);
    expect((await world.poll(id)).outcome).toBe('removal_pending');
  });

  test('comes again after a minute, and asks for everything', async () => {
    addGroup('large', friends(40));
    await world.poll(id);
    world.vendor.truth.change(id, { kind: 'remove_members', group: 'large', members: friends(25) });
    await world.poll(id);
    const { due_v, full_read_at } = await stateOf(id);
    expect(due_v).toBeCloseTo(60 / shortestUnitSeconds);
    expect(full_read_at).toBeNull();
    await world.passTime(60);
    expect((await world.poll(id)).outcome).toBe('changed');
    expect((await groupsOf(id))['large']).toHaveLength(15);
  });

  test('that differs from the one before waits again', async () => {
    addGroup('large', friends(40));
    await world.poll(id);
    world.vendor.truth.change(id, { kind: 'remove_members', group: 'large', members: friends(25) });
    expect((await world.poll(id)).outcome).toBe('removal_pending');
    await world.passTime(60);
    world.vendor.truth.change(id, { kind: 'remove_members', group: 'large', members: friends(26) });
    expect((await world.poll(id)).outcome).toBe('removal_pending');
    await world.passTime(60);
    expect((await world.poll(id)).outcome).toBe('changed');
    expect((await groupsOf(id))['large']).toHaveLength(14);
  });

  test('is not believed when the second answer comes moments after the first, and then after the rest of the minute', async () => {
    addGroup('a', ['x']);
    await world.poll(id);
    world.vendor.truth.change(id, { kind: 'clear' });
    expect((await world.poll(id)).outcome).toBe('removal_pending');
    await world.passTime(20);
    expect((await world.poll(id)).outcome).toBe('removal_pending');
    expect(await groupsOf(id)).toEqual({ a: ['x'] });
    await world.passTime(20);
    expect((await world.poll(id)).outcome).toBe('changed');
    expect(await groupsOf(id)).toEqual({});
  });
});

describe('an empty answer of an account that held nothing', () => {
  const wronglyEmpty = async () => {
    world.vendor.setFaults([{ kind: 'empty', probability: 1 }]);
    const { outcome } = await world.poll(id);
    world.vendor.setFaults([]);
    return outcome;
  };

  test('is not believed where the sequence moved: what came is there after the next answer', async () => {
    await world.poll(id);
    addGroup('a', ['x']);
    expect(await wronglyEmpty()).toBe('removal_pending');
    expect((await stateOf(id)).sequence).toBe(0);
    expect((await world.poll(id)).outcome).toBe('changed');
    expect(await groupsOf(id)).toEqual({ a: ['x'] });
    expect((await stateOf(id)).pending_hash).toBeNull();
  });

  test('is not believed of an account that was gone, either', async () => {
    world.vendor.truth.removeAccount(id);
    await world.poll(id);
    expect((await stateOf(id)).status).toBe('gone');
    world.vendor.truth.addAccount(id);
    addGroup('a', ['x']);
    expect(await wronglyEmpty()).toBe('removal_pending');
    expect((await world.poll(id)).outcome).toBe('changed');
    expect(await groupsOf(id)).toEqual({ a: ['x'] });
  });

  test('is not believed where an earlier one had another sequence, rightly empty though it was', async () => {
    await world.poll(id);
    addGroup('a');
    world.vendor.truth.change(id, { kind: 'clear' });
    expect((await world.poll(id)).outcome).toBe('removal_pending');
    await world.passTime(60);
    addGroup('b', ['x']);
    expect(await wronglyEmpty()).toBe('removal_pending');
    await world.passTime(60);
    expect((await world.poll(id)).outcome).toBe('changed');
    expect(await groupsOf(id)).toEqual({ b: ['x'] });
  });

  test('is believed when a second one, a minute later, says so too, and then costs one call a poll', async () => {
    await world.poll(id);
    addGroup('a');
    world.vendor.truth.change(id, { kind: 'clear' });
    expect((await world.poll(id)).outcome).toBe('removal_pending');
    await world.passTime(20);
    expect((await world.poll(id)).outcome).toBe('removal_pending');
    await world.passTime(40);
    expect((await world.poll(id)).outcome).toBe('unchanged');
    expect(await stateOf(id)).toMatchObject({ sequence: 2, pending_hash: null, status: 'active' });
    expect(await callsDuring(async () => expect((await world.poll(id)).outcome).toBe('unchanged'))).toBe(1);
  });
});

describe('an answer that lists fewer friends than it counts', () => {
  /** The vendor leaves these friends out of a group's list, and counts them all the same. */
  const without = (...missing: readonly string[]): TencentClient => ({
    ...world.client,
    groupGet: async (...call) => {
      const read = await world.client.groupGet(...call);
      const groups = read.groups.map((group) => ({
        ...group,
        members: group.members.filter((member) => !missing.includes(member)),
      }));
      return { ...read, groups };
    },
  });
  const countOf = async () =>
    (
      await sql<{
        count: number;
      }>`select friend_number as count from tim.friend_groups where account_id = ${id} and group_name = 'a'`.execute(
        world.db,
      )
    ).rows[0]?.count;

  test('removes no one at first, adds at once, and what it left out comes back with nothing in the feed', async () => {
    addGroup('a', ['x', 'y', 'z']);
    await world.poll(id);
    world.vendor.truth.change(id, { kind: 'add_members', group: 'a', members: ['new'] });
    expect((await world.poll(id, { client: without('x', 'y') })).outcome).toBe('removal_pending');
    expect(await groupsOf(id)).toEqual({ a: ['new', 'x', 'y', 'z'] });
    expect((await stateOf(id)).sequence).toBe(1);
    expect(await countOf()).toBe(4);
    expect((await world.poll(id)).outcome).toBe('unchanged');
    expect(await groupsOf(id)).toEqual({ a: ['new', 'x', 'y', 'z'] });
    expect(await feedOf(id)).toEqual([
      'group_added a',
      'member_added a x',
      'member_added a y',
      'member_added a z',
      'member_added a new',
    ]);
    expect(await stateOf(id)).toMatchObject({ sequence: 2, pending_hash: null });
    expect(await countOf()).toBe(4);
  });

  test('is followed once a second one, half a minute later, leaves out the same, whatever else has changed; the vendor’s count stays', async () => {
    addGroup('a', ['x', 'y', 'z']);
    addGroup('b', ['q', 'r']);
    await world.poll(id);
    world.vendor.truth.change(id, { kind: 'add_members', group: 'a', members: ['new'] });
    const client = without('x');
    expect((await world.poll(id, { client })).outcome).toBe('removal_pending');
    await world.passTime(20);
    expect((await world.poll(id, { client })).outcome).toBe('removal_pending');
    await world.passTime(15);
    world.vendor.truth.change(id, { kind: 'add_members', group: 'b', members: ['s'] });
    world.vendor.truth.change(id, { kind: 'remove_members', group: 'b', members: ['q'] });
    expect((await world.poll(id, { client })).outcome).toBe('changed');
    expect(await groupsOf(id)).toEqual({ a: ['new', 'y', 'z'], b: ['r', 's'] });
    expect(await countOf()).toBe(4);
    // Short for good, it is an ordinary account, at one call a poll.
    expect(
      await callsDuring(async () => expect((await world.poll(id, { client })).outcome).toBe('unchanged')),
    ).toBe(1);
    world.vendor.truth.change(id, { kind: 'remove_members', group: 'a', members: ['x'] });
    expect((await world.poll(id, { client })).outcome).toBe('changed');
    expect(await countOf()).toBe(3);
  });

  test('and another that leaves out another friend, prove nothing', async () => {
    addGroup('a', ['x', 'y', 'z']);
    await world.poll(id);
    world.vendor.truth.change(id, { kind: 'add_members', group: 'a', members: ['new'] });
    for (const missing of ['x', 'y', 'z', 'x']) {
      expect((await world.poll(id, { client: without(missing) })).outcome).toBe('removal_pending');
      await world.passTime(60);
    }
    expect(await groupsOf(id)).toEqual({ a: ['new', 'x', 'y', 'z'] });
  });

  test('removes nothing from the groups that are whole, either, until it is confirmed', async () => {
    addGroup('a', ['x', 'y']);
    addGroup('b', ['q', 'r']);
    addGroup('c', ['w']);
    await world.poll(id);
    world.vendor.truth.change(id, { kind: 'remove_group', group: 'c' });
    world.vendor.truth.change(id, { kind: 'remove_members', group: 'b', members: ['q'] });
    expect((await world.poll(id, { client: without('x') })).outcome).toBe('removal_pending');
    expect(await groupsOf(id)).toEqual({ a: ['x', 'y'], b: ['q', 'r'], c: ['w'] });
    expect((await world.poll(id)).outcome).toBe('changed');
    expect(await groupsOf(id)).toEqual({ a: ['x', 'y'], b: ['r'] });
  });

  test('is not believed of a new account or a new group, either: whom it left out comes with the second', async () => {
    addGroup('a', ['x', 'y', 'z']);
    expect((await world.poll(id, { client: without('x') })).outcome).toBe('removal_pending');
    expect(await groupsOf(id)).toEqual({ a: ['y', 'z'] });
    expect(await countOf()).toBe(2);
    expect(await stateOf(id)).toMatchObject({ sequence: null, verified_at: null });
    expect((await world.poll(id)).outcome).toBe('changed');
    expect(await groupsOf(id)).toEqual({ a: ['x', 'y', 'z'] });
    addGroup('b', ['q', 'r']);
    expect((await world.poll(id, { client: without('q') })).outcome).toBe('removal_pending');
    expect((await stateOf(id)).sequence).toBe(1);
    expect((await world.poll(id)).outcome).toBe('changed');
    expect(await groupsOf(id)).toEqual({ a: ['x', 'y', 'z'], b: ['q', 'r'] });
    expect(await stateOf(id)).toMatchObject({ sequence: 2, pending_hash: null });
  });

  test('is believed at once where no more are missing than is known, and none that the mirror holds', async () => {
    addGroup('a', ['x', 'y']);
    const client = without('x');
    expect((await world.poll(id, { client })).outcome).toBe('removal_pending');
    await world.passTime(60);
    expect((await world.poll(id, { client })).outcome).toBe('changed');
    expect(await countOf()).toBe(2);
    world.vendor.truth.change(id, { kind: 'add_members', group: 'a', members: ['z'] });
    expect((await world.poll(id, { client })).outcome).toBe('changed');
    expect(await groupsOf(id)).toEqual({ a: ['y', 'z'] });
    expect(await countOf()).toBe(3);
    world.vendor.truth.change(id, { kind: 'add_members', group: 'a', members: ['w'] });
    expect((await world.poll(id, { client: without('x', 'w') })).outcome).toBe('removal_pending');
  });

  test('whose only friend is one whose account was deleted is no fault of the account', async () => {
    addGroup('a', ['x']);
    await world.poll(id);
    world.vendor.truth.change(id, { kind: 'add_group', group: 'b' });
    const client = without('x');
    expect((await world.poll(id, { client })).outcome).toBe('removal_pending');
    await world.passTime(60);
    expect((await world.poll(id, { client })).outcome).toBe('changed');
    expect(await groupsOf(id)).toEqual({ a: [], b: [] });
  });

  test('counts for the breaker when it takes a tenth, and not when a friend’s account was deleted', async () => {
    addGroup('a', friends(13));
    addGroup('b', friends(13));
    await world.poll(id);
    const shrunk = async () =>
      (
        await sql`select from mirror.shrunk_account join mirror.account using (account_key) where account_id = ${id}`.execute(
          world.db,
        )
      ).rows.length;
    world.vendor.truth.change(id, { kind: 'add_members', group: 'a', members: ['new'] });
    expect((await world.poll(id, { client: without('friend-1') })).outcome).toBe('removal_pending');
    expect(await shrunk()).toBe(0);
    expect((await world.poll(id, { client: without('friend-1', 'friend-2') })).outcome).toBe(
      'removal_pending',
    );
    expect(await shrunk()).toBe(1);
  });

  test('shows in the account’s outcomes and in what is known of it', async () => {
    addGroup('a', ['x', 'y', 'z']);
    await world.poll(id);
    world.vendor.truth.change(id, { kind: 'add_members', group: 'a', members: ['new'] });
    const client = without('x', 'y');
    await world.poll(id, { client });
    const explanation = await explainAccount(world.db, testApp.appId, id);
    expect(explanation?.outcomes[0]).toMatchObject({
      outcome: 'removal_pending',
      message:
        'the answer lists 2 friends of the 4 that it counts in 1 groups; read again before it is believed: +1 member, −2 members',
    });
    await world.passTime(60);
    await world.poll(id, { client });
    expect(await explainAccount(world.db, testApp.appId, id)).toMatchObject({
      account: { shortGroups: 1, members: 2 },
    });
  });
});

describe('what an answer adds while what it takes away waits', () => {
  test('is in the tables at once, under the sequence of that answer, and is not written again', async () => {
    addGroup('large', friends(40));
    addGroup('small', ['s']);
    await world.poll(id);
    world.vendor.truth.change(id, { kind: 'remove_members', group: 'large', members: friends(25) });
    world.vendor.truth.change(id, { kind: 'add_members', group: 'large', members: ['new'] });
    world.vendor.truth.change(id, { kind: 'add_group', group: 'fresh', members: ['f', 'new'] });
    expect((await world.poll(id)).outcome).toBe('removal_pending');
    expect((await groupsOf(id))['large']).toHaveLength(41);
    expect((await groupsOf(id))['fresh']).toEqual(['f', 'new']);
    expect(await stateOf(id)).toMatchObject({ sequence: 2, group_count: 3, content_hash: null });
    const { rows } = await sql`
      select distinct sequence from tim.changes where account_id = ${id} and friend_id = 'new'
    `.execute(world.db);
    expect(rows).toEqual([{ sequence: 5 }]);
    await world.passTime(60);
    expect((await world.poll(id)).outcome).toBe('changed');
    expect((await groupsOf(id))['large']).toHaveLength(16);
    expect((await feedOf(id)).filter((line) => line.endsWith(' new'))).toEqual([
      'member_added fresh new',
      'member_added large new',
    ]);
  });

  test('goes again when the answer was wrong', async () => {
    addGroup('a', ['x', 'y']);
    await world.poll(id);
    const stranger: TencentClient = {
      ...world.client,
      groupGet: async (...call) => ({
        ...(await world.client.groupGet(...call)),
        sequence: 9,
        groups: [{ name: 'b', friendNumber: 0, members: [] }],
      }),
    };
    expect((await world.poll(id, { client: stranger })).outcome).toBe('removal_pending');
    expect(await groupsOf(id)).toEqual({ a: ['x', 'y'], b: [] });
    expect((await world.poll(id)).outcome).toBe('changed');
    expect(await groupsOf(id)).toEqual({ a: ['x', 'y'] });
    expect(await stateOf(id)).toMatchObject({ sequence: 1, group_count: 1, pending_hash: null });
    expect((await world.poll(id)).outcome).toBe('unchanged');
  });
});

describe('times of what is written', () => {
  test('of one account grow, though clocks go back, so that a friend who goes and comes again has lives that follow each other', async () => {
    addGroup('a', ['x', 'y']);
    await world.poll(id);
    const long = world.deps.now() - 3_600_000;
    const client: TencentClient = {
      ...world.client,
      groupGet: async (...call) => ({ ...(await world.client.groupGet(...call)), sentAt: long }),
    };
    for (let round = 0; round < 6; round += 1) {
      const kind = round % 2 === 0 ? 'remove_members' : 'add_members';
      world.vendor.truth.change(id, { kind, group: 'a', members: ['y'] });
      expect((await world.poll(id, { client })).outcome).toBe('changed');
    }
    const { rows } = await sql<{ moments: number; changes: number }>`
      select count(distinct observed_at)::integer as moments, count(*)::integer as changes
      from tim.changes where account_id = ${id} and friend_id = 'y'
    `.execute(world.db);
    expect(rows).toEqual([{ moments: 7, changes: 7 }]);
    const lives = await sql<{ added: string; removed: string | null }>`
      select added_at::text as added, removed_at::text as removed from tim.friend_group_member_history
      where account_id = ${id} and friend_id = 'y' order by added_at
    `.execute(world.db);
    expect(new Set(lives.rows.map(({ added }) => added)).size).toBe(4);
  });
});

describe('an account that the vendor does not know', () => {
  test('keeps its rows until that is said twice, and comes back with any sequence', async () => {
    addGroup('a', ['x']);
    addGroup('b', ['y']);
    await world.poll(id);
    world.vendor.truth.removeAccount(id);
    expect((await world.poll(id)).outcome).toBe('removal_pending');
    expect(await groupsOf(id)).toEqual({ a: ['x'], b: ['y'] });
    await world.passTime(60);
    expect((await world.poll(id)).outcome).toBe('changed');
    expect(await groupsOf(id)).toEqual({});
    expect(await stateOf(id)).toMatchObject({ status: 'gone', sequence: null, group_count: 0 });
    const { rows } =
      await sql`select status, last_error_code from tim.accounts where account_id = ${id}`.execute(world.db);
    expect(rows).toEqual([{ status: 'gone', last_error_code: 30003 }]);

    expect((await world.poll(id)).outcome).toBe('gone');
    world.vendor.truth.addAccount(id);
    addGroup('c', ['z']);
    expect((await world.poll(id)).outcome).toBe('changed');
    expect(await groupsOf(id)).toEqual({ c: ['z'] });
    expect(await stateOf(id)).toMatchObject({ status: 'active', sequence: 1 });
  });

  test('and that never had rows is gone at once', async () => {
    world.vendor.truth.removeAccount(id);
    expect((await world.poll(id)).outcome).toBe('gone');
    expect((await stateOf(id)).status).toBe('gone');
  });

  test('is believed to be there when the second answer says so', async () => {
    addGroup('a', ['x']);
    await world.poll(id);
    world.vendor.setFaults([{ kind: 30003, probability: 1 }]);
    expect((await world.poll(id)).outcome).toBe('removal_pending');
    world.vendor.setFaults([]);
    expect((await world.poll(id)).outcome).toBe('unchanged');
    expect(await stateOf(id)).toMatchObject({ status: 'active', pending_hash: null });
  });
});

describe('the fencing token', () => {
  test('an answer that comes after another worker has claimed the account is dropped', async () => {
    addGroup('a', ['x']);
    const late = await world.claim(id);
    await world.poll(id);
    world.vendor.truth.change(id, { kind: 'add_members', group: 'a', members: ['y'] });
    const result = await pollAccount(world.deps, late, world.stop);
    expect(result.outcome).toBe('dropped');
    expect(await groupsOf(id)).toEqual({ a: ['x'] });
  });

  test('a late record of an unchanged poll, and a late failure, change nothing', async () => {
    await world.poll(id);
    const late = await world.claim(id);
    await world.poll(id);
    const before = await stateOf(id);
    await world.record(await pollAccount(world.deps, late, world.stop));
    world.vendor.setFaults([{ kind: 30006, probability: 1 }]);
    await world.record(await pollAccount(world.deps, late, world.stop));
    expect(await stateOf(id)).toEqual(before);
    const { rows } = await sql`select last_error from tim.accounts where account_id = ${id}`.execute(
      world.db,
    );
    expect(rows).toEqual([{ last_error: null }]);
  });

  test('a claim is good for one outcome: of two workers with the same job, the slower changes nothing', async () => {
    addGroup('a', ['x']);
    await world.poll(id);
    world.vendor.truth.change(id, { kind: 'add_members', group: 'a', members: ['y'] });
    const claimed = await world.claim(id);
    const stale = await world.client.groupGet(id, 0, world.stop);
    world.vendor.truth.change(id, { kind: 'add_members', group: 'a', members: ['z'] });
    await world.record(await pollAccount(world.deps, claimed, world.stop));
    const before = await stateOf(id);
    const standingStill = { ...world.client, groupGet: async () => stale };
    const result = await pollAccount({ ...world.deps, client: standingStill }, claimed, world.stop);
    await world.record(result);
    expect(result.outcome).toBe('dropped');
    expect(await groupsOf(id)).toEqual({ a: ['x', 'y', 'z'] });
    expect(await stateOf(id)).toEqual(before);
  });

  test('a claim whose key is that of another account or app here, as one of another mirror’s database, changes nothing', async () => {
    addGroup('a', ['x']);
    await world.poll(id);
    const before = await stateOf(id);
    const stranger = `${id}-stranger`;
    world.vendor.truth.addAccount(stranger);
    const claimed = await world.claim(id);
    const foreign = { ...claimed, accountId: stranger };
    const full = { ...foreign, contentHash: null, sequence: null };
    expect((await pollAccount(world.deps, full, world.stop)).outcome).toBe('dropped');
    await world.record(await pollAccount(world.deps, { ...foreign, contentHash: emptyHash }, world.stop));
    const otherApp = { ...world.deps, appId: testApp.appId + 1 };
    world.vendor.truth.change(id, { kind: 'add_members', group: 'a', members: ['y'] });
    expect((await pollAccount(otherApp, claimed, world.stop)).outcome).toBe('dropped');
    expect(await groupsOf(id)).toEqual({ a: ['x'] });
    expect(await stateOf(id)).toMatchObject({ verified_at: before.verified_at, sequence: before.sequence });
  });

  test('an account taken out while it was polled is not written', async () => {
    addGroup('a', ['x']);
    const claimed = await world.claim(id);
    await removeAccounts(world.db, testApp.appId, [id], false);
    expect((await pollAccount(world.deps, claimed, world.stop)).outcome).toBe('dropped');
    expect(await groupsOf(id)).toEqual({});
  });
});

describe('what goes wrong', () => {
  test('a rate limit is not the account’s fault', async () => {
    world.vendor.setFaults([{ kind: 60007, probability: 1 }]);
    const result = await world.poll(id);
    expect(result).toMatchObject({ outcome: 'rate_limited', record: { failCount: 0, stride: null } });
    expect(result.appError?.code).toBe(60007);
  });

  test.each([70003, 60010, 70020, 71000, 70001])(
    '%i halts the app and leaves the account as it is',
    async (code) => {
      world.vendor.setFaults([{ kind: code, probability: 1 }]);
      const result = await world.poll(id);
      expect(result).toMatchObject({
        outcome: 'refused',
        record: { failCount: 0, stride: null, status: 'never_polled' },
      });
      expect(result.appError?.code).toBe(code);
    },
  );

  test('a transient error is tried again later, longer each time, and forgotten after a good read', async () => {
    addGroup('a', ['x']);
    world.vendor.setFaults([{ kind: 30006, probability: 1 }]);
    const { weight, change_mass } = await stateOf(id);
    for (const failures of [1, 2, 3, 4, 5, 6, 7]) {
      expect((await world.poll(id)).outcome).toBe('transient');
      // What is known of its changes stays as it was.
      expect(await stateOf(id)).toMatchObject({
        fail_count: failures,
        status: 'never_polled',
        weight,
        change_mass,
      });
    }
    const failing =
      await sql`select last_error_code, last_error from tim.accounts where account_id = ${id}`.execute(
        world.db,
      );
    expect(failing.rows).toEqual([{ last_error_code: 30006, last_error: 'simulated 30006' }]);
    world.vendor.setFaults([]);
    await world.poll(id);
    const well =
      await sql`select status, last_error_code, last_error from tim.accounts where account_id = ${id}`.execute(
        world.db,
      );
    expect(well.rows).toEqual([{ status: 'active', last_error_code: null, last_error: null }]);
  });

  test('a bad request sets the account aside at once, with the vendor’s words; a good answer brings it back', async () => {
    world.vendor.setFaults([{ kind: 30001, probability: 1 }]);
    expect((await world.poll(id)).outcome).toBe('quarantined');
    const aside =
      await sql`select status, last_error_code, last_error from tim.accounts where account_id = ${id}`.execute(
        world.db,
      );
    expect(aside.rows).toEqual([
      { status: 'quarantined', last_error_code: 30001, last_error: 'simulated 30001' },
    ]);
    world.vendor.setFaults([]);
    await world.poll(id);
    expect((await stateOf(id)).status).toBe('active');
  });

  test.each(['wrong_type', 'null_fields', 77_777] as const)(
    '%s is tried a few times and then set aside',
    async (kind) => {
      world.vendor.setFaults([{ kind, probability: 1 }]);
      const outcomes = [];
      for (let time = 0; time < 5; time += 1) outcomes.push((await world.poll(id)).outcome);
      expect(outcomes).toEqual(['transient', 'transient', 'transient', 'transient', 'quarantined']);
    },
  );

  test('while the vendor fails, an account is not to blame: its waiting does not grow and it is not set aside', async () => {
    world.vendor.setFaults([{ kind: 'wrong_type', probability: 1 }]);
    for (let time = 0; time < 8; time += 1) {
      const { outcome, record } = await world.poll(id, { health: { vendorIsUnhealthy: () => true } });
      expect(outcome).toBe('transient');
      expect(record?.stride).toBeLessThanOrEqual(30 / shortestUnitSeconds);
    }
    expect(await stateOf(id)).toMatchObject({ fail_count: 1, status: 'never_polled' });
  });

  test('a name that Postgres can’t hold sets this account aside and hurts no other', async () => {
    const other = `${id}-other`;
    await world.addAccounts(other);
    world.vendor.truth.change(id, { kind: 'add_group', group: 'nul\0', members: [] });
    world.vendor.truth.change(other, { kind: 'add_group', group: 'fine', members: ['x'] });
    expect((await world.poll(id)).outcome).toBe('quarantined');
    expect((await world.poll(other)).outcome).toBe('changed');
    const { rows } = await sql`select last_error from tim.accounts where account_id = ${id}`.execute(
      world.db,
    );
    expect(rows).toEqual([
      { last_error: 'a group name or member id contains a NUL character, which Postgres cannot hold' },
    ]);
  });

  test('a write that fails leaves sequence and mirror as they were', async () => {
    addGroup('a', ['x']);
    await world.poll(id);
    world.vendor.truth.change(id, { kind: 'add_group', group: 'b', members: ['y'] });
    await sql`alter table mirror.change add constraint broken check (group_name <> 'b') not valid`.execute(
      world.db,
    );
    try {
      expect((await world.poll(id)).outcome).toBe('storage_failed');
    } finally {
      await sql`alter table mirror.change drop constraint broken`.execute(world.db);
    }
    expect(await groupsOf(id)).toEqual({ a: ['x'] });
    expect(await stateOf(id)).toMatchObject({ sequence: 1, fail_count: 1 });
    expect((await world.poll(id)).outcome).toBe('changed');
  });

  test('a stop gives the account back as it was', async () => {
    const stop = createStop();
    stop.abortHard();
    const result = await pollAccount(world.deps, await world.claim(id), stop);
    expect(result).toMatchObject({ outcome: 'released', record: { stride: null, failCount: 0 } });
  });
});

describe('names', () => {
  test('that differ in one byte are different, and any text survives', async () => {
    const names = [
      'work',
      'Work',
      ' work',
      'work ',
      'Caf\u00e9',
      'Cafe\u0301',
      '👨‍👩‍👧',
      `'"\\;--`,
      '\u200b',
      'null',
      '%_',
      '',
      '\n',
    ];
    for (const name of names) addGroup(name, [name === '' ? 'stranger' : name]);
    await world.poll(id);
    expect(await groupsOf(id)).toEqual(
      Object.fromEntries(names.map((name) => [name, [name === '' ? 'stranger' : name]])),
    );
  });

  test('3,000 members in a group and 32 groups are no problem', async () => {
    addGroup('large', friends(3000));
    for (let group = 1; group < 32; group += 1) addGroup(`group ${group}`, friends(50));
    expect((await world.poll(id)).outcome).toBe('changed');
    expect((await groupsOf(id))['large']).toHaveLength(3000);
    expect((await world.poll(id)).outcome).toBe('unchanged');
  });

  test('a group deleted and made again has two lives in the history', async () => {
    addGroup('stays', ['x']);
    addGroup('again', ['x']);
    await world.poll(id);
    world.vendor.truth.change(id, { kind: 'remove_group', group: 'again' });
    await world.poll(id);
    addGroup('again', ['x']);
    await world.poll(id);
    const { rows } = await sql<{ ended: boolean }>`
      select removed_at is not null as ended from tim.friend_group_member_history
      where account_id = ${id} and group_name = 'again' order by added_at
    `.execute(world.db);
    expect(rows.map(({ ended }) => ended)).toEqual([true, false]);
  });

  test('the vendor’s own count is kept, also when only that changes', async () => {
    addGroup('a', ['x', 'y']);
    await world.poll(id);
    const { rows } = await sql`select friend_number from tim.friend_groups where account_id = ${id}`.execute(
      world.db,
    );
    expect(rows).toEqual([{ friend_number: 2 }]);
  });
});

describe('times', () => {
  test('verified_at is when the request was sent, and never goes back or lies in the future', async () => {
    await world.poll(id);
    const first = (await stateOf(id)).verified_at;
    await world.poll(id, { client: sentAt(first.getTime() - 60_000) });
    expect((await stateOf(id)).verified_at).toEqual(first);
    await world.poll(id, { client: sentAt(Date.now() + 3_600_000) });
    expect((await stateOf(id)).verified_at.getTime()).toBeLessThan(Date.now() + 60_000);
  });

  test('stamps that a poll does not touch survive any number of polls', async () => {
    addGroup('a', ['x']);
    await world.poll(id);
    const before = await stateOf(id);
    for (let poll = 0; poll < 5; poll += 1) await world.poll(id);
    const after = await stateOf(id);
    expect([after.first_polled_at, after.full_read_at, after.changed_at]).toEqual([
      before.first_polled_at,
      before.full_read_at,
      before.changed_at,
    ]);
  });

  test('an unchanged poll writes nothing to the mirror', async () => {
    addGroup('a', ['x']);
    await world.poll(id);
    // A row that was written again has moved, and names the transaction that did it.
    const versions = async () =>
      (
        await sql`
          select 'account' as what, ctid::text, xmin::text from mirror.account where account_id = ${id}
          union all
          select 'group', friend_group.ctid::text, friend_group.xmin::text
          from mirror.friend_group join mirror.account using (account_key) where account_id = ${id}
          union all
          select 'member', member.ctid::text, member.xmin::text
          from mirror.friend_group_member member
          join mirror.friend_group using (group_key) join mirror.account using (account_key)
          where account_id = ${id}
        `.execute(world.db)
      ).rows;
    const before = await versions();
    expect(before).toHaveLength(3);
    expect((await world.poll(id)).outcome).toBe('unchanged');
    expect(await versions()).toEqual(before);
    expect(await feedOf(id)).toHaveLength(2);
  });

  function sentAt(time: number): typeof world.client {
    return {
      ...world.client,
      groupGet: async (...call) => ({ ...(await world.client.groupGet(...call)), sentAt: time }),
    };
  }
});
