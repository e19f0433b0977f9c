import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { enrolAccounts } from '../../db/queries/accounts.ts';
import { readApps } from '../../db/queries/apps.ts';
import { countQueue } from '../../db/queries/count-queue.ts';
import { discardRemovals, readHeldRemovals, releaseRemovals } from '../../db/queries/held-removals.ts';
import { readBelieved } from '../../db/queries/shrunk-accounts.ts';
import { createRemovalBreaker, type RemovalBreaker } from '../../src/app/removal-breaker.ts';
import { silentLogger } from '../../src/log.ts';
import { rateRule } from '../../src/schedule/policy.ts';
import { currentRows, replayFeed } from '../support/replay.ts';
import { createWorld, testApp, type World } from '../support/world.ts';

const { appId } = testApp;
let world: World;
let breaker: RemovalBreaker;
const ids = Array.from({ length: 25 }, (_, index) => `account-${index}`);

beforeEach(async () => {
  world = await createWorld();
  await world.addAccounts(...ids);
  for (const id of ids) {
    world.vendor.truth.change(id, { kind: 'add_group', group: '家人', members: ['x', 'y'] });
    await world.poll(id);
  }
  await countQueue(world.db, appId, rateRule);
  breaker = createRemovalBreaker({ db: world.db, appId, log: silentLogger(), readKeptMs: 0 });
});

afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const hold = async () => (await readApps(world.db))[0]?.hold;
const members = async () =>
  (await sql<{ count: number }>`select count(*) from tim.friend_group_members`.execute(world.db)).rows[0]
    ?.count;

/** Polls every account as the daemon does, with the breaker looked after. */
async function pollAll(): Promise<string[]> {
  const outcomes = [];
  for (const id of ids) {
    outcomes.push((await world.poll(id, { health: { mayBelieve: breaker.mayBelieve } })).outcome);
    await breaker.watch();
  }
  return outcomes;
}

describe('when many accounts shrink at once', () => {
  beforeEach(() => world.vendor.setFaults([{ kind: 'empty', probability: 1 }]));

  async function shrink(): Promise<void> {
    for (const id of ids)
      world.vendor.truth.change(id, { kind: 'add_members', group: '家人', members: ['z'] });
    const outcomes = await pollAll();
    // A quarter of so few trips the breaker; those after them are held at once.
    expect(outcomes.filter((outcome) => outcome === 'removal_pending')).toHaveLength(7);
    expect(outcomes.filter((outcome) => outcome === 'removal_held')).toHaveLength(18);
  }

  test('nothing is removed, however often it is read, and the list shows what would be', async () => {
    await shrink();
    expect(await hold()).toMatchObject({ shrunk: 7, read: 25, windowSeconds: 30 });
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

  test('discarded, the accounts are read again, and a vendor that has recovered heals them', async () => {
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
  /** More accounts, each read a moment ago. */
  async function addRead(accounts: number): Promise<void> {
    const more = Array.from({ length: accounts - ids.length }, (_, index) => `more-${index}`);
    await enrolAccounts(world.db, appId, more.toSorted());
    await sql`
      update mirror.poll_state set status = 'active', first_polled_at = now(), verified_at = clock_timestamp()
    `.execute(world.db);
    await countQueue(world.db, appId, rateRule);
  }

  /** Lets the first accounts shrink, this many seconds ago. */
  async function shrinkSome(accounts: number, secondsAgo = 0): Promise<void> {
    await sql`
      insert into mirror.shrunk_account (account_key, app_id, shrunk_at, groups, members)
      select account_key, app_id, clock_timestamp() - ${secondsAgo} * interval '1 second', 1, 2
      from mirror.poll_state order by account_key limit ${accounts}
      on conflict (account_key) do nothing
    `.execute(world.db);
  }

  test.each([
    ['19 accounts', 19, 100, false],
    ['20 accounts among few', 20, 400, true],
    ['20 accounts among many', 20, 401, false],
    ['a twentieth of many', 100, 2000, true],
    ['fewer than a twentieth of many', 99, 2000, false],
    ['a quarter of a small app', 8, 30, true],
    ['less than a quarter of a small app', 7, 30, false],
  ])('%s: %i shrunk of %i that were read', async (_, shrunk, read, trips) => {
    await addRead(read);
    await shrinkSome(shrunk);
    await breaker.watch();
    expect(await hold()).toEqual(
      trips ? { since: expect.any(Date), shrunk, read, windowSeconds: 30 } : undefined,
    );
  });

  test('counts an account once, however often it is polled and however often it shrinks', async () => {
    await addRead(1000);
    const [id = ''] = ids;
    world.vendor.setFaults([{ kind: 'empty', probability: 1 }]);
    for (let round = 0; round < 60; round += 1) {
      world.vendor.truth.change(id, { kind: 'add_members', group: '家人', members: [`friend-${round}`] });
      expect((await world.poll(id, { health: { mayBelieve: breaker.mayBelieve } })).outcome).toBe(
        'removal_pending',
      );
    }
    await breaker.watch();
    expect(await hold()).toBeUndefined();
  });

  test('forgets what is ten minutes past, and what an operator has looked at', async () => {
    await shrinkSome(25, 601);
    await breaker.watch();
    expect(await hold()).toBeUndefined();
    await sql`update mirror.shrunk_account set shrunk_at = clock_timestamp()`.execute(world.db);
    await breaker.watch();
    expect(await hold()).toBeDefined();
    await world.db.transaction().execute((trx) => discardRemovals(trx, appId));
    await breaker.watch();
    expect(await hold()).toBeUndefined();
  });

  test('shows what was believed before it tripped', async () => {
    const [first = '', ...others] = ids;
    world.vendor.truth.change(first, { kind: 'clear' });
    await world.poll(first);
    await world.passTime(60);
    expect((await world.poll(first)).outcome).toBe('changed');
    for (const id of others) world.vendor.truth.change(id, { kind: 'clear' });
    await pollAll();
    expect(await hold()).toBeDefined();
    expect(await readBelieved(world.db, appId, 600, 20)).toMatchObject({
      accounts: 1,
      groups: 1,
      members: 2,
      examples: [{ accountId: first, groups: 1, members: 2 }],
    });
  });

  test('lets no second answer be believed while too few accounts were read to decide, and not for ever', async () => {
    await addRead(1000);
    await sql`update mirror.poll_state set verified_at = now() - interval '1 hour'`.execute(world.db);
    await shrinkSome(6, 40);
    expect(await breaker.mayBelieve(45)).toBe(false);
    expect(await hold()).toBeUndefined();
    // Five of a hundred and twenty are not many.
    await sql`
      update mirror.poll_state set verified_at = now() where account_key in (
        select account_key from mirror.poll_state order by account_key desc limit 115
      )
    `.execute(world.db);
    expect(await breaker.mayBelieve(45)).toBe(true);
    await sql`update mirror.poll_state set verified_at = now() - interval '1 hour'`.execute(world.db);
    expect(await breaker.mayBelieve(601)).toBe(true);
  });
});
