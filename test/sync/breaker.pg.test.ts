import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { addActivity } from '../../db/queries/activity.ts';
import { readApps } from '../../db/queries/apps.ts';
import { discardRemovals, readHeldRemovals, releaseRemovals } from '../../db/queries/held-removals.ts';
import { silentLogger } from '../../src/log.ts';
import { watchRemovals } from '../../src/sync/breaker.ts';
import { currentRows, replayFeed } from '../support/replay.ts';
import { createWorld, testApp, type World } from '../support/world.ts';

const { appId } = testApp;
let world: World;
const ids = Array.from({ length: 25 }, (_, index) => `account-${index}`);

beforeEach(async () => {
  world = await createWorld();
  await world.addAccounts(...ids);
  for (const id of ids) {
    world.vendor.truth.change(id, { kind: 'add_group', group: '家人', members: ['x', 'y'] });
    await world.poll(id);
  }
});

afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const hold = async () => (await readApps(world.db))[0]?.hold;
const members = async () =>
  (await sql<{ count: number }>`select count(*) from tim.friend_group_members`.execute(world.db)).rows[0]
    ?.count;

/** Polls every account as the daemon does, with its counts stored and the breaker looked after. */
async function pollAll(): Promise<string[]> {
  const outcomes = [];
  for (const id of ids) {
    const held = (await hold()) !== undefined;
    const result = await world.poll(id, { removalsHeld: () => held });
    outcomes.push(result.outcome);
    await addActivity(world.db, [
      { appId, event: result.outcome, count: 1 },
      ...(result.shrank === true ? [{ appId, event: 'shrank', count: 1 }] : []),
    ]);
    await watchRemovals(world.db, appId, silentLogger());
  }
  return outcomes;
}

describe('when many accounts shrink at once', () => {
  beforeEach(() => world.vendor.setFaults([{ kind: 'empty', probability: 1 }]));

  async function shrink(): Promise<void> {
    for (const id of ids)
      world.vendor.truth.change(id, { kind: 'add_members', group: '家人', members: ['z'] });
    const outcomes = await pollAll();
    // The twentieth trips the breaker; those after it are held at once.
    expect(outcomes.filter((outcome) => outcome === 'removal_pending')).toHaveLength(20);
    expect(outcomes.filter((outcome) => outcome === 'removal_held')).toHaveLength(5);
  }

  test('nothing is removed, however often it is read, and the list tells what would be', async () => {
    await shrink();
    expect(await hold()).toMatchObject({ shrunk: 20, read: 20 });
    expect(new Set(await pollAll())).toEqual(new Set(['removal_held']));
    expect(await members()).toBe(50);
    expect(await readHeldRemovals(world.db, appId, 3)).toMatchObject({
      accounts: 25,
      groups: 25,
      members: 50,
      examples: [{ groups: 1, members: 2 }, {}, {}],
    });
  });

  test('what comes is written all the same', async () => {
    await shrink();
    world.vendor.setFaults([]);
    for (const id of ids) {
      world.vendor.truth.change(id, { kind: 'remove_members', group: '家人', members: ['x'] });
      world.vendor.truth.change(id, { kind: 'add_group', group: 'new', members: ['n'] });
    }
    expect(new Set(await pollAll())).toEqual(new Set(['removal_held']));
    const { rows } = await sql`
      select group_name, friend_id from tim.friend_group_members where account_id = 'account-0'
      order by group_name collate "C", friend_id
    `.execute(world.db);
    expect(rows).toEqual([
      { group_name: 'new', friend_id: 'n' },
      { group_name: '家人', friend_id: 'x' },
      { group_name: '家人', friend_id: 'y' },
      { group_name: '家人', friend_id: 'z' },
    ]);
    expect(await replayFeed(world.db)).toEqual(await currentRows(world.db));
  });

  test('released, everything goes with the next read, and the breaker stays out for the time given', async () => {
    await shrink();
    await pollAll();
    expect(await world.db.transaction().execute((trx) => releaseRemovals(trx, appId, 3600))).toBe(25);
    expect(await world.db.transaction().execute((trx) => releaseRemovals(trx, appId, 3600))).toBeUndefined();
    expect(new Set(await pollAll())).toEqual(new Set(['changed']));
    expect(await members()).toBe(0);
    expect(await hold()).toBeUndefined();
    expect(await readHeldRemovals(world.db, appId, 3)).toMatchObject({ accounts: 0 });
    expect(await replayFeed(world.db)).toEqual(await currentRows(world.db));
  });

  test('discarded, the accounts are read anew, and a vendor that is well again heals them', async () => {
    await shrink();
    await pollAll();
    world.vendor.setFaults([]);
    expect(await world.db.transaction().execute((trx) => discardRemovals(trx, appId))).toBe(25);
    expect(new Set(await pollAll())).toEqual(new Set(['changed']));
    expect(await members()).toBe(75);
    expect((await world.differences()).missing).toEqual([]);
    expect((await world.differences()).invented).toEqual([]);
  });

  test('discarded while the vendor is still wrong, it is held again', async () => {
    await shrink();
    await world.db.transaction().execute((trx) => discardRemovals(trx, appId));
    await pollAll();
    await pollAll();
    expect(await hold()).toBeDefined();
    expect(await members()).toBeGreaterThan(40);
  });

  test('accounts that are gone are held like others', async () => {
    world.vendor.setFaults([{ kind: 30003, probability: 1 }]);
    await pollAll();
    expect(await hold()).toBeDefined();
    await world.passTime(60);
    expect(new Set(await pollAll())).toEqual(new Set(['removal_held']));
    expect(await members()).toBe(50);
    world.vendor.setFaults([]);
    expect(new Set(await pollAll())).toEqual(new Set(['unchanged']));
    expect(await readHeldRemovals(world.db, appId, 3)).toMatchObject({ accounts: 0 });
  });
});

describe('the breaker', () => {
  test.each([
    ['19 accounts', 19, 100, false],
    ['20 accounts among few', 20, 400, true],
    ['20 accounts among many', 20, 401, false],
    ['a twentieth of many', 100, 2000, true],
  ])('%s: %i shrunk in %i polls', async (_, shrunk, read, trips) => {
    await addActivity(world.db, [
      { appId, event: 'shrank', count: shrunk },
      { appId, event: 'unchanged', count: read },
    ]);
    await watchRemovals(world.db, appId, silentLogger());
    expect((await hold()) !== undefined).toBe(trips);
  });

  test('forgets what is ten minutes past', async () => {
    await addActivity(world.db, [{ appId, event: 'shrank', count: 100 }]);
    await sql`update mirror.activity set bucket = bucket - interval '11 minutes'`.execute(world.db);
    await watchRemovals(world.db, appId, silentLogger());
    expect(await hold()).toBeUndefined();
  });
});
