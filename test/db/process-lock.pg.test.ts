import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { acquireProcessLock, type ProcessLock } from '../../db/process-lock.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { waitFor } from '../support/wait-for.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});

afterAll(async () => {
  await database?.[Symbol.asyncDispose]();
});

const acquire = (mode: 'exclusive' | 'shared', onTaken: () => void = () => undefined) =>
  acquireProcessLock({ url: database.url, mode, onTaken });

const breakConnections = () =>
  sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tim-mirror lock' and datname = current_database()`.execute(
    database.db,
  );

async function releaseAll(...locks: (ProcessLock | undefined)[]): Promise<void> {
  for (const lock of locks) await lock?.release();
}

test('a daemon without Redis is alone, and the next may come when it is gone', async () => {
  const first = await acquire('exclusive');
  expect(first?.isHeld()).toBe(true);
  expect(await acquire('exclusive')).toBeUndefined();
  expect(await acquire('shared')).toBeUndefined();
  await releaseAll(first);
  const second = await acquire('exclusive');
  expect(second?.isHeld()).toBe(true);
  await releaseAll(second);
});

test('daemons with Redis share, and keep out one without', async () => {
  const locks = [await acquire('shared'), await acquire('shared')];
  expect(locks.every((lock) => lock?.isHeld())).toBe(true);
  expect(await acquire('exclusive')).toBeUndefined();
  await releaseAll(...locks);
});

test('a broken connection is not held, and taken again', async () => {
  const lock = await acquire('exclusive');
  await breakConnections();
  await waitFor('the loss to be noticed', () => lock?.isHeld() === false);
  await waitFor('the lock again', () => lock?.isHeld() === true);
  await releaseAll(lock);
});

test('when another daemon was quicker, that is reported', async () => {
  let taken = 0;
  const lock = await acquire('exclusive', () => {
    taken += 1;
  });
  await breakConnections();
  const other = await waitFor('the other daemon', () => acquire('exclusive'));
  await waitFor('being reported', () => taken === 1);
  expect(lock?.isHeld()).toBe(false);
  await releaseAll(lock, other);
});

test.each(['steady', 'wall'] as const)(
  'after a process was stopped or its machine suspended the lock is not held until Postgres has been heard of (%s clock)',
  async (clock) => {
    const missed = { steady: 0, wall: 0 };
    const now = () => ({ steady: performance.now() + missed.steady, wall: Date.now() + missed.wall });
    const lock = await acquireProcessLock({
      url: database.url,
      mode: 'exclusive',
      onTaken: () => undefined,
      now,
    });
    expect(lock?.isHeld()).toBe(true);
    missed[clock] = 21_000;
    expect(lock?.isHeld()).toBe(false);
    await waitFor('a beat that says the lock is still ours', () => lock?.isHeld() === true, 40_000);
    await releaseAll(lock);
  },
);
