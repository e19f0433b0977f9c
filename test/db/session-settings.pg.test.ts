import { sql } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect, type Database } from '../../db/client.ts';
import { acquireProcessLock } from '../../db/process-lock.ts';
import { createTestDatabase, hostileSettings, type TestDatabase } from '../support/database.ts';
import { waitFor } from '../support/wait-for.ts';

/** Short enough to fail a statement that is not of the quickest, long enough for those that begin a session. */
const moreHostile = [
  ['statement_timeout', '2s'],
  ['lock_timeout', '1ms'],
  ['idle_in_transaction_session_timeout', '1s'],
  ['idle_session_timeout', '2s'],
] as const;

const stated: Readonly<Record<string, string>> = {
  DateStyle: 'ISO, YMD',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  client_encoding: 'UTF8',
  bytea_output: 'hex',
  extra_float_digits: '1',
  standard_conforming_strings: 'on',
  array_nulls: 'on',
  transform_null_equals: 'off',
  search_path: 'pg_catalog',
  default_transaction_isolation: 'read committed',
  transaction_isolation: 'read committed',
  default_transaction_deferrable: 'off',
  statement_timeout: '0',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
};

let database: TestDatabase;
let db: Database;

beforeAll(async () => {
  database = await createTestDatabase();
  const name = new URL(database.url).pathname.slice(1);
  for (const [setting, value] of moreHostile)
    await sql.raw(`alter database ${name} set ${setting} = '${value}'`).execute(database.db);
  const url = new URL(database.url);
  // A URL has the last word, with the driver, unless we say it.
  url.searchParams.set('options', '-c search_path=elsewhere -c datestyle=SQL,DMY -c client_encoding=LATIN1');
  url.searchParams.set('statement_timeout', '1500');
  db = connect({ url: url.href, applicationName: 'test', onIdleError: () => undefined });
});

afterAll(async () => {
  await db?.destroy();
  await database?.[Symbol.asyncDispose]();
});

describe('whatever database and URL say', () => {
  test('a connection states every setting that statements rely on', async () => {
    const { rows } = await sql<{ name: string; value: string }>`
      select name, current_setting(name) as value from unnest(${Object.keys(stated)}::text[]) as name
    `.execute(db);
    expect(Object.fromEntries(rows.map(({ name, value }) => [name, value]))).toEqual(stated);
  });

  test('each setting that tests make hostile is one that is stated', () => {
    for (const [name] of [...hostileSettings, ...moreHostile]) expect(stated).toHaveProperty(name);
  });

  test('a statement may last, and a lock may be waited for', async () => {
    await sql`select pg_sleep(2.1)`.execute(db);
    let waiting: Promise<unknown> | undefined;
    await db.transaction().execute(async (trx) => {
      await sql`select pg_advisory_xact_lock(1)`.execute(trx);
      waiting = sql`select pg_advisory_xact_lock(1)`.execute(db);
      await waitFor('a lock to be waited for', async () => {
        const { rows } = await sql`select from pg_locks where locktype = 'advisory' and not granted`.execute(
          trx,
        );
        return rows.length > 0;
      });
    });
    await waiting;
  });

  test('the session that holds the daemon’s lock is not ended for being idle', async () => {
    const lock = await acquireProcessLock({ url: database.url, mode: 'shared', onTaken: () => undefined });
    // Longer than a session may be idle.
    await sql`select pg_sleep(2.5)`.execute(db);
    expect(lock?.isHeld()).toBe(true);
    await lock?.release();
  });
});

test('a time in another style than ISO is an error, and never null', async () => {
  await db.connection().execute(async (connection) => {
    await sql`set datestyle = 'German'`.execute(connection);
    for (const type of ['timestamptz', 'timestamp', 'date'])
      await expect(sql.raw(`select now()::${type} as at`).execute(connection)).rejects.toThrow(
        /another style than ISO/,
      );
    await sql`set datestyle = 'ISO'`.execute(connection);
    const { rows } = await sql<{ at: unknown }>`select timestamptz 'infinity' as at`.execute(connection);
    expect(rows).toEqual([{ at: Number.POSITIVE_INFINITY }]);
  });
});

test('a driver without stated settings would have read null', async () => {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    expect((await client.query('select now() as at')).rows).toEqual([{ at: null }]);
  } finally {
    await client.end();
  }
});

test('a function that another role has put before Postgres’ own is not run, and every setting is stated all the same', async () => {
  await using own = await createTestDatabase();
  const statements = [
    'create schema evil',
    'create table evil.run (n integer)',
    `create function evil.set_config(text, text, boolean) returns text language sql as $$
      insert into evil.run values (1) returning 'x' $$`,
    `create function evil.current_setting(text, boolean) returns text language sql as $$
      insert into evil.run values (2) returning 'x' $$`,
    `create function evil.to_char(date, text) returns text language sql as $$ select 'hijacked' $$`,
  ];
  for (const statement of statements) await sql.raw(statement).execute(own.db);
  const name = new URL(own.url).pathname.slice(1);
  await sql.raw(`alter database ${name} set search_path = evil, pg_catalog`).execute(own.db);
  const fresh = connect({ url: own.url, applicationName: 'test', onIdleError: () => undefined });
  try {
    const { rows } = await sql<{ path: string; year: string; run: number }>`
      select current_setting('search_path') as path, to_char(date '2020-01-01', 'YYYY') as year,
        (select count(*)::integer from evil.run) as run
    `.execute(fresh);
    expect(rows).toEqual([{ path: 'pg_catalog', year: '2020', run: 0 }]);
  } finally {
    await fresh.destroy();
  }
});
