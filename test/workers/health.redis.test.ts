import { Redis } from 'ioredis';
import { sql } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect } from '../../db/client.ts';
import { tables } from '../../db/queries/readiness.ts';
import { pollLimits, type SessionLimits } from '../../db/session-limits.ts';
import { createLogger, silentLogger } from '../../src/log.ts';
import { connectRedis } from '../../src/redis/redis-connections.ts';
import { createScrubber } from '../../src/scrubber.ts';
import { createHealth } from '../../workers/health.ts';
import { findUnready } from '../../workers/readiness.ts';
import { collectLog } from '../support/collect-log.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createTestRedis } from '../support/redis.ts';
import { waitFor } from '../support/wait-for.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});

afterAll(async () => {
  await database?.[Symbol.asyncDispose]();
});

/** What is not well for a daemon whose URL has these options. */
async function unreadyWith(change: (url: URL) => void, limits: SessionLimits = pollLimits) {
  const url = new URL(database.url);
  change(url);
  const db = connect({
    url: url.href,
    applicationName: 'test',
    maxConnections: 1,
    onIdleError: () => undefined,
    limits,
  });
  try {
    return await findUnready(db, undefined);
  } finally {
    await db.destroy();
  }
}

const at = (place: { port?: string; pathname?: string }) => (url: URL) => void Object.assign(url, place);
const option = (text: string) => (url: URL) => url.searchParams.set('options', text);

describe('a Postgres that answers and lets no poll be stored', () => {
  test('is well otherwise', async () => {
    expect(await unreadyWith(() => undefined)).toEqual([]);
  });

  test('because it only reads, is not ready and says so', async () => {
    expect(await unreadyWith(option('-c default_transaction_read_only=on'))).toEqual([
      {
        part: 'postgres',
        cause: 'read_only',
        sentence: expect.stringMatching(/^Postgres only reads \(25006\); let DATABASE_URL name the primary/),
      },
    ]);
  });

  test('because the user lacks rights, names the tables', async () => {
    const role = `tim_limited_${new URL(database.url).pathname.slice(-12)}`;
    await sql
      .raw(`
        create role ${role};
        grant usage on schema mirror to ${role};
        grant usage, create on schema bullmq to ${role};
        grant all on all tables in schema bullmq to ${role};
        grant all on all sequences in schema bullmq to ${role};
        grant select, insert, update, delete on all tables in schema mirror to ${role};
        grant all on all sequences in schema mirror to ${role};
        revoke delete on mirror.poll_outcome from ${role};
        revoke update on mirror.shrunk_account from ${role};
        revoke all on mirror.migration from ${role};
        grant select on mirror.migration to ${role};
      `)
      .execute(database.db);
    try {
      const [unready] = await unreadyWith(option(`-c role=${role}`));
      expect(unready).toMatchObject({ part: 'postgres', cause: 'rights' });
      expect(unready?.sentence).toMatch(/read and write mirror\.poll_outcome, mirror\.shrunk_account; /);
    } finally {
      await sql.raw(`drop owned by ${role}; drop role ${role}`).execute(database.db);
    }
  });

  test.each([
    ['has no such database', at({ pathname: '/none' }), 'no_database'],
    ['is not there', at({ port: '1' }), 'away'],
    ['breaks every statement off', () => undefined, 'slow'],
  ] as const)('because it %s, says so', async (_, change, cause) => {
    const limits = cause === 'slow' ? { ...pollLimits, statementMs: 1 } : pollLimits;
    await using lock = await heldInstallation(cause === 'slow');
    expect(lock).toBeDefined();
    expect(await unreadyWith(change, limits)).toMatchObject([{ part: 'postgres', cause }]);
  });

  test('because a table is missing, names it', async () => {
    await sql`alter table mirror.held_removal rename to elsewhere`.execute(database.db);
    try {
      expect(await unreadyWith(() => undefined)).toEqual([
        {
          part: 'postgres',
          cause: 'not_migrated',
          sentence: expect.stringMatching(/^Postgres lacks mirror\.held_removal; run tim-mirror migrate/),
        },
      ]);
    } finally {
      await sql`alter table mirror.elsewhere rename to held_removal`.execute(database.db);
    }
  });

  test('because the queues in it are gone, is not ready where there is no Redis', async () => {
    await sql`alter schema bullmq rename to elsewhere`.execute(database.db);
    try {
      expect(await unreadyWith(() => undefined)).toMatchObject([
        { cause: 'not_migrated', sentence: expect.stringMatching(/lacks bullmq\.job/) },
      ]);
    } finally {
      await sql`alter schema elsewhere rename to bullmq`.execute(database.db);
    }
  });

  test('is looked through in all of its tables', async () => {
    const { rows } = await sql<{ name: string }>`
      select relname as name from pg_class
      where relnamespace = 'mirror'::regnamespace and relkind in ('r', 'p') and not relispartition order by 1
    `.execute(database.db);
    expect(rows.map(({ name }) => name)).toEqual(tables);
  });

  test('refuses the same again and again, and the log says so once', async () => {
    const collected = collectLog();
    const log = createLogger({
      level: 'info',
      scrubber: createScrubber(),
      destination: collected.destination,
    });
    const lines = () =>
      collected
        .text()
        .split('\n')
        .filter((line) => line !== '')
        .map((line): unknown => JSON.parse(line));
    const health = createHealth(database.db, undefined, log);
    await sql`alter table mirror.held_removal rename to elsewhere`.execute(database.db);
    try {
      const missing = Object.assign(new pg.DatabaseError('no such table', 0, 'error'), { code: '42P01' });
      for (let time = 0; time < 20; time += 1) expect(health.failed(missing)).toBe(true);
      await waitFor('the line', () => lines().length > 0);
      for (let time = 0; time < 20; time += 1) health.failed(missing);
      await health.check();
      expect(lines()).toEqual([
        expect.objectContaining({ level: 'warn', part: 'postgres', cause: 'not_migrated' }),
      ]);
      expect(health.worst()).toMatchObject({ part: 'postgres', cause: 'not_migrated' });
    } finally {
      await sql`alter table mirror.elsewhere rename to held_removal`.execute(database.db);
    }
    await waitFor('the recovery', async () => {
      await health.check();
      return lines().length === 2;
    });
    expect(lines()[1]).toMatchObject({ level: 'info', msg: 'postgres has recovered' });
    // One statement alone is refused: that is said with its stack, once a minute.
    const alone = Object.assign(new pg.DatabaseError('may not', 0, 'error'), { code: '42501' });
    for (let time = 0; time < 20; time += 1) health.failed(alone);
    await waitFor('the line', () => lines().length === 3);
    expect(lines()[2]).toMatchObject({ level: 'warn', msg: expect.stringMatching(/it is tried again/) });
  });

  test('because its disk is full, is not ready though a small write has room', async () => {
    const health = createHealth(database.db, undefined, silentLogger());
    expect(await health.unready()).toEqual([]);
    expect(health.failed(Object.assign(new pg.DatabaseError('no room', 0, 'error'), { code: '53100' }))).toBe(
      true,
    );
    expect(await health.unready()).toMatchObject([{ part: 'postgres', cause: 'disk_full' }]);
    expect(health.unreadyFor().get('postgres')).toBeGreaterThan(0);
  });
});

/** Keeps the row locked that the readiness writes, so that its write lasts. */
async function heldInstallation(hold: boolean): Promise<AsyncDisposable> {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  if (hold) {
    await client.query('begin');
    await client.query('select from mirror.installation for update');
  }
  return { [Symbol.asyncDispose]: () => client.end() };
}

describe.skipIf(process.env['TEST_REDIS_URL'] !== undefined)('a Redis that answers pings', () => {
  test('and lets its user run no command that writes says so, not that it is away', async () => {
    await using redis = await createTestRedis();
    const admin = new Redis(redis.url);
    await admin.call('acl', 'setuser', 'limited', 'on', '>a-password', '~*', '&*', '+@all', '-@write');
    const url = new URL(redis.url);
    Object.assign(url, { username: 'limited', password: 'a-password' });
    const connections = await connectRedis({ kind: 'single', url: url.href }, [], silentLogger());
    try {
      expect(await findUnready(database.db, connections)).toMatchObject([{ part: 'redis', cause: 'rights' }]);
    } finally {
      connections.close();
      admin.disconnect();
    }
  });

  test.each([
    ['maxmemory', '1', 'out_of_memory', '0'],
    ['min-replicas-to-write', '1', 'no_replicas', '0'],
  ])('and refuses writes by %s is not ready, and says why', async (setting, value, cause, before) => {
    await using redis = await createTestRedis();
    const admin = new Redis(redis.url);
    const connections = await connectRedis({ kind: 'single', url: redis.url }, [], silentLogger());
    try {
      const look = () => findUnready(database.db, connections);
      expect(await look()).toEqual([]);
      await admin.config('SET', setting, value);
      expect(await admin.ping()).toBe('PONG');
      expect(await look()).toMatchObject([{ part: 'redis', cause }]);
      await admin.config('SET', setting, before);
      await waitFor('readiness', async () => (await look()).length === 0);
    } finally {
      connections.close();
      admin.disconnect();
    }
  });
});
