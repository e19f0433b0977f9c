import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect } from '../../db/client.ts';
import { migrate } from '../../db/migrate.ts';
import { enrolAccounts } from '../../db/queries/accounts.ts';
import { ensureApp } from '../../db/queries/apps.ts';
import { startPostgres } from '../../dev/local-servers/postgres.ts';
import { migratePostgresQueues } from '../../workers/queues.ts';
import { endCommands, startCommand, untilRunning } from '../support/daemon-command.ts';
import { populateWorld } from '../support/mirroring.ts';
import { createTestRedis, type TestRedis } from '../support/redis.ts';
import { waitFor } from '../support/wait-for.ts';
import { createWorld, testApp } from '../support/world.ts';

let redis: TestRedis;

beforeAll(async () => {
  redis = await createTestRedis();
});

afterAll(async () => {
  await redis?.[Symbol.asyncDispose]();
});

describe('without Redis', () => {
  test('a daemon lives through a crash of Postgres, and goes on by itself', async () => {
    await using world = await createWorld({ callsPerSecond: 200 });
    const ids = await populateWorld(world);
    const postgres = await startPostgres({ durable: true });
    const db = connect({ url: postgres.url(), applicationName: 'test', onIdleError: () => undefined });
    try {
      await migrate(db);
      await migratePostgresQueues(postgres.url());
      await ensureApp(db, testApp);
      await enrolAccounts(db, testApp.appId, ids);
      const daemon = startCommand(
        { ...world, database: { ...world.database, url: postgres.url() } },
        undefined,
      );
      await waitFor('calls', () => world.vendor.stats().calls > ids.length / 2);
      const warnings = () =>
        daemon
          .said()
          .split('\n')
          .filter((line) => line.includes('"level":"warn"'));
      await postgres.crash();
      await waitFor('the daemon to say so', () => warnings().length > 0);
      await postgres.revive();
      const { calls } = world.vendor.stats();
      await waitFor('calls again', () => world.vendor.stats().calls > calls + 2 * ids.length, 90_000);
      expect(daemon.child.exitCode).toBeNull();
      expect(await endCommands(daemon)).toEqual([0]);
      expect(warnings().filter((line) => line.includes('"stack"'))).toEqual([]);
      expect(warnings().filter((line) => line.includes('"part":"postgres"'))).toHaveLength(1);
      expect(world.vendor.stats().worstSecond).toBeLessThanOrEqual(200);
    } finally {
      await db.destroy();
      await postgres.stop();
    }
  });

  test('a second daemon refuses to start with one sentence, and the first goes on', async () => {
    await using world = await createWorld();
    const first = startCommand(world, undefined);
    await untilRunning(first);
    expect(first.said()).not.toContain('a plain word');
    for (const redisUrl of [undefined, redis.url]) {
      const { code, stderr } = await startCommand(world, redisUrl).ended;
      expect(code).toBe(1);
      expect(stderr).toMatch(/^tim-mirror: .*without REDIS_URL.*\n$/);
    }
    expect(first.child.exitCode).toBeNull();
    expect(await endCommands(first)).toEqual([0]);
  });
});

test('a daemon names the variables whose secret is a plain word, and says no less for it', async () => {
  await using world = await createWorld();
  const { db } = world.database;
  await sql`create role plain_word superuser login password 'accounts'`.execute(db);
  try {
    const part = { username: 'plain_word', password: 'accounts' };
    const url = Object.assign(new URL(world.database.url), part).href;
    const daemon = startCommand(world, undefined, { DATABASE_URL: url });
    await untilRunning(daemon);
    expect(await endCommands(daemon)).toEqual([0]);
    expect(daemon.said()).toMatch(/"variables":\["DATABASE_URL"\],"msg":"a secret is short, a number or/);
    expect(daemon.said()).not.toContain('[removed]');
    expect(daemon.said()).not.toContain(':accounts@');
  } finally {
    await sql`drop role plain_word`.execute(db);
  }
});

test('a daemon that may open few files, and whose endpoint has no TLS, says both and runs', async () => {
  await using world = await createWorld();
  const through = ['sh', '-c', 'ulimit -n 256; exec "$0" "$@"'];
  const env = { TIM_ENDPOINT: 'http://vendor.invalid' };
  const daemon = startCommand(world, undefined, env, { through });
  await untilRunning(daemon);
  expect(await endCommands(daemon)).toEqual([0]);
  expect(daemon.said()).toMatch(/"limit":256,"needed":2048,"msg":"the process may open too few files/);
  expect(daemon.said()).toMatch(/"host":"vendor.invalid","msg":"TIM_ENDPOINT is http:/);
});

describe('a daemon that can’t start says why in one sentence', () => {
  const secret = 'a-password-that-is-never-shown';
  /** The URL of the world's database with another part. */
  const changed = (
    text: string,
    part: Partial<Record<'username' | 'pathname' | 'password' | 'search', string>>,
  ) => Object.assign(new URL(text), part).href;
  const login = `:${secret}@`;
  const redisAt = (path: string) =>
    `${redis.url.replace(/\/\d*$/, '').replace('://', `://x${login}`)}${path}`;

  test.each<[string, (url: string) => Record<string, string>, RegExp]>([
    [
      'nothing at DATABASE_URL',
      () => ({ DATABASE_URL: `postgres://postgres${login}127.0.0.1:1/none` }),
      /Postgres at 127\.0\.0\.1:1, database none, does not answer \(ECONNREFUSED\); check DATABASE_URL/,
    ],
    [
      'no such database',
      (url) => ({ DATABASE_URL: changed(url, { pathname: '/none' }) }),
      /Postgres at \S+:\d+, database none, has no such database \(3D000\); create it/,
    ],
    [
      'a password that Postgres refuses',
      (url) => ({ DATABASE_URL: changed(url, { password: secret }) }),
      /Postgres at \S+:\d+, database \S+, refuses the user or password \(28P01\); check both in DATABASE_URL/,
    ],
    [
      'TLS refused',
      (url) => ({ DATABASE_URL: changed(url, { search: '?sslmode=verify-full' }) }),
      /Postgres at \S+:\d+, database \S+, refuses TLS; set sslmode=disable/,
    ],
    [
      'nothing at REDIS_URL',
      () => ({ REDIS_URL: `redis://x${login}127.0.0.1:1` }),
      /Redis at 127\.0\.0\.1:1 does not answer; check REDIS_URL/,
    ],
    [
      'a password that Redis refuses',
      () => ({ REDIS_URL: redisAt('') }),
      /Redis at \S+:\d+ refuses the user or password; check both in REDIS_URL/,
    ],
    [
      'no such database of Redis',
      () => ({ REDIS_URL: `${redis.url.replace(/\/\d*$/, '')}/99` }),
      /Redis at \S+:\d+, database 99, has no database of that number; correct the number/,
    ],
    [
      'TLS to a plain port of Redis',
      () => ({ REDIS_URL: redis.url.replace('redis:', 'rediss:') }),
      /Redis at \S+:\d+\S* \(TLS\) .*REDIS_URL/,
    ],
    ['a port in use', (url) => ({ HTTP_PORT: new URL(url).port }), /The port 127\.0\.0\.1:\d+ is in use/],
  ])('%s', async (_, envFor, sentence) => {
    await using world = await createWorld();
    const { code, stderr } = await startCommand(world, undefined, envFor(world.database.url)).ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(/^tim-mirror: .*\n$/);
    expect(stderr).toMatch(sentence);
    expect(stderr).not.toMatch(new RegExp(`${secret}|://`));
  });

  test('a role that may have no connection', async () => {
    await using world = await createWorld();
    const role = `limited_${world.seed}`;
    await sql`create role ${sql.id(role)} login password 'Five-9-words-for-it' connection limit 0`.execute(
      world.db,
    );
    try {
      const url = changed(world.database.url, { username: role, password: 'Five-9-words-for-it' });
      const { code, stderr } = await startCommand(world, undefined, { DATABASE_URL: url }).ended;
      expect(code).toBe(1);
      expect(stderr).toMatch(
        /has no connection left \(53300\); raise max_connections or the connection limit/,
      );
    } finally {
      await sql`drop role ${sql.id(role)}`.execute(world.db);
    }
  });

  test('an empty database', async () => {
    await using world = await createWorld();
    await sql`drop schema mirror cascade`.execute(world.db);
    const { code, stderr } = await startCommand(world, undefined).ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(/^tim-mirror: .*run: tim-mirror migrate\n$/);
  });
});
