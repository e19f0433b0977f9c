import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect, type Database } from '../../db/client.ts';
import { acquireProcessLock } from '../../db/process-lock.ts';
import { pollLimits } from '../../db/session-limits.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { type SwallowingProxy, startSwallowingProxy } from '../support/swallowing-proxy.ts';
import { waitFor } from '../support/wait-for.ts';

let database: TestDatabase;
let proxy: SwallowingProxy;

beforeAll(async () => {
  database = await createTestDatabase();
  proxy = await startSwallowingProxy(database.url);
});

afterAll(async () => {
  await proxy?.[Symbol.asyncDispose]();
  await database?.[Symbol.asyncDispose]();
});

async function through<T>(
  use: (db: Database) => Promise<T>,
  options: { silentMs?: number; idleInTransactionMs?: number; onFailure?: (error: unknown) => void } = {},
): Promise<T> {
  const { silentMs = 3000, idleInTransactionMs = 3000, onFailure = () => undefined } = options;
  const db = connect({
    url: proxy.through(database.url),
    applicationName: 'test',
    onIdleError: () => undefined,
    limits: { ...pollLimits, silentMs, idleInTransactionMs },
    onFailure,
  });
  try {
    return await use(db);
  } finally {
    await db.destroy();
  }
}

test('a session that has fallen silent fails its statement in time, is ended, and the next statement has another', async () => {
  const failures: unknown[] = [];
  await through(
    async (db) => {
      await Promise.all([1, 2, 3].map(() => sql`select pg_sleep(0.1)`.execute(db)));
      proxy.swallow();
      const results = await Promise.allSettled([1, 2, 3].map(() => sql`select 1`.execute(db)));
      expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
      await waitFor('the sessions to be ended', () => proxy.swallowed() === 0);
      expect((await sql<{ one: number }>`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }]);
    },
    { onFailure: (error) => failures.push(error) },
  );
  expect(failures.map(String)).toContain('SilentSessionError: Postgres has not answered a statement for 3 s');
});

test('a session that falls silent in a transaction gives its locks back, though its server hears of nothing', async () => {
  const lock = (db: Database) =>
    sql`select from mirror.installation for update`.execute(db).then(() => undefined);
  await through(async (db) => {
    const broken = db.transaction().execute(async (trx) => {
      await lock(trx);
      proxy.swallow();
      await lock(trx);
    });
    await expect(broken).rejects.toThrow(/not answered|not queryable/);
    await waitFor('the lock', () =>
      lock(db).then(
        () => true,
        () => false,
      ),
    );
  });
});

test('a lock whose session falls silent is not held, and is had again though the server holds it yet', async () => {
  let taken = 0;
  const lock = await acquireProcessLock({
    url: proxy.through(database.url),
    mode: 'exclusive',
    onTaken: () => {
      taken += 1;
    },
  });
  expect(lock?.isHeld()).toBe(true);
  proxy.swallow();
  await waitFor('the loss to be noticed', () => lock?.isHeld() === false);
  await waitFor('the lock again', () => lock?.isHeld() === true);
  expect(taken).toBe(0);
  await lock?.release();
});

test('a statement that takes too long is aborted by Postgres, and its session stays', async () => {
  const db = connect({
    url: database.url,
    applicationName: 'test',
    maxConnections: 1,
    onIdleError: () => undefined,
    limits: { silentMs: 20_000, statementMs: 100, idleInTransactionMs: 0 },
  });
  const pid = async () =>
    (await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(db)).rows[0]?.pid;
  const before = await pid();
  await expect(sql`select pg_sleep(30)`.execute(db)).rejects.toMatchObject({ code: '57014' });
  expect(await pid()).toBe(before);
  await db.destroy();
});

test('a server that only reads costs each older session its place, and what comes next has a new one', async () => {
  const write = (db: Database) => sql`update mirror.installation set beat = beat + 1`.execute(db);
  const db = connect({
    url: database.url,
    applicationName: 'test',
    maxConnections: 1,
    onIdleError: () => undefined,
    limits: pollLimits,
  });
  await sql`select set_config('default_transaction_read_only', 'on', false)`.execute(db);
  // Of a session younger than five seconds it is the server that only reads, and another would not help.
  await expect(write(db)).rejects.toMatchObject({ code: '25006' });
  await waitFor('writes again', () =>
    write(db).then(
      () => true,
      () => false,
    ),
  );
  await db.destroy();
});
