import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { enrolAccounts, requestPoll } from '../../db/queries/accounts.ts';
import { importAccounts } from '../../src/accounts/import-accounts.ts';
import type { AccountLine } from '../../src/accounts/read-account-ids.ts';
import { removeAccounts } from '../../src/accounts/remove-accounts.ts';
import { pollAccount } from '../../src/sync/poll-account.ts';
import { currentRows, replayFeed } from '../support/replay.ts';
import { createWorld, testApp, type World } from '../support/world.ts';

let world: World;

beforeAll(async () => {
  world = await createWorld();
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

const { appId } = testApp;

async function count(table: string, where = 'true'): Promise<number> {
  const { rows } = await sql
    .raw<{ count: number }>(`select count(*) from ${table} where ${where}`)
    .execute(world.db);
  return rows[0]?.count ?? 0;
}

async function* lines(...ids: string[]): AsyncGenerator<AccountLine> {
  for (const [index, id] of ids.entries()) yield { line: index + 1, id };
}

const quiet = { appId, onProblem: () => undefined, onProgress: () => undefined };

describe('enrolling accounts', () => {
  test('each is enrolled once, however often it is in lists', async () => {
    expect(await importAccounts(world.db, lines('one', 'two', 'one'), quiet)).toEqual({
      read: 3,
      enrolled: 2,
      known: 1,
      bad: 0,
    });
    expect(await importAccounts(world.db, lines('two', 'three'), quiet)).toMatchObject({
      enrolled: 1,
      known: 1,
    });
    expect(await count('tim.accounts', "account_id in ('one', 'two', 'three')")).toBe(3);
  });

  test('from two lists at once, in any order, none is lost or enrolled twice', async () => {
    const ids = Array.from({ length: 25_000 }, (_, index) => `crowd-${index}`);
    const reports = await Promise.all([
      importAccounts(world.db, lines(...ids), quiet),
      importAccounts(world.db, lines(...ids.toReversed()), quiet),
    ]);
    expect(reports.reduce((sum, report) => sum + report.enrolled, 0)).toBe(ids.length);
    expect(
      await count(
        'mirror.poll_state state join mirror.account using (account_key)',
        "account_id like 'crowd-%'",
      ),
    ).toBe(ids.length);
  });

  test('new ones are at the head of the queue', async () => {
    await sql`update mirror.app set virtual_clock = 42`.execute(world.db);
    await enrolAccounts(world.db, appId, ['head']);
    const { rows } = await sql`
      select due_v from mirror.poll_state join mirror.account using (account_key) where account_id = 'head'
    `.execute(world.db);
    expect(rows).toEqual([{ due_v: 42 }]);
  });
});

describe('taking accounts out', () => {
  async function mirrored(id: string): Promise<void> {
    await world.addAccounts(id);
    world.vendor.truth.change(id, { kind: 'add_group', group: '家人', members: ['x', 'y'] });
    world.vendor.truth.change(id, { kind: 'add_group', group: 'work', members: ['x'] });
    await world.poll(id);
  }

  test('ends what the mirror held of them, and the feed and the history show it', async () => {
    await mirrored('leaver');
    expect(await removeAccounts(world.db, appId, ['leaver', 'stranger'], false)).toEqual({
      removed: ['leaver'],
      purged: 0,
    });
    expect(await count('tim.accounts', "account_id = 'leaver'")).toBe(0);
    expect(await count('tim.friend_groups', "account_id = 'leaver'")).toBe(0);
    expect(await count('tim.friend_group_members', "account_id = 'leaver'")).toBe(0);
    expect(
      await count('tim.friend_group_member_history', "account_id = 'leaver' and removed_at is not null"),
    ).toBe(3);
    expect(await replayFeed(world.db)).toEqual(await currentRows(world.db));
  });

  test('and enrolling them again begins again', async () => {
    await mirrored('returner');
    await removeAccounts(world.db, appId, ['returner'], false);
    await enrolAccounts(world.db, appId, ['returner']);
    expect((await world.poll('returner')).outcome).toBe('changed');
    expect(await count('tim.friend_group_members', "account_id = 'returner'")).toBe(3);
    expect(await replayFeed(world.db)).toEqual(await currentRows(world.db));
  });

  test('with purge leaves no trace, also of one taken out before, and touches no other account', async () => {
    await mirrored('bystander');
    await mirrored('secret-one');
    await mirrored('secret-two');
    await removeAccounts(world.db, appId, ['secret-one'], false);
    const others = await count('mirror.change');
    const report = await removeAccounts(world.db, appId, ['secret-one', 'secret-two'], true);
    expect(report).toEqual({ removed: ['secret-two'], purged: 2 });
    expect(await count('mirror.account', "account_id like 'secret-%'")).toBe(0);
    expect(await count('tim.friend_group_member_history', "account_id like 'secret-%'")).toBe(0);
    expect(await count('mirror.change')).toBe(others - 15);
    expect(await count('tim.friend_group_members', "account_id = 'bystander'")).toBe(3);
  });
});

test('an account put first in the queue while it is polled stays there, for the answer may be older than the request', async () => {
  await world.addAccounts('hinted');
  await world.poll('hinted');
  const due = async () =>
    (
      await sql<{ due_v: number }>`
        select due_v from mirror.poll_state join mirror.account using (account_key) where account_id = 'hinted'
      `.execute(world.db)
    ).rows[0]?.due_v;
  const claimed = await world.claim('hinted');
  await requestPoll(world.db, appId, ['hinted']);
  await world.record(await pollAccount(world.deps, claimed, world.stop));
  expect(await due()).toBe(Number.NEGATIVE_INFINITY);
  await world.poll('hinted');
  expect(await due()).toBeGreaterThan(0);
});
