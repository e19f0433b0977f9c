import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect } from '../../db/client.ts';
import { migrate } from '../../db/migrate.ts';
import { enrolAccounts } from '../../db/queries/accounts.ts';
import { ensureApp } from '../../db/queries/apps.ts';
import { startPostgres } from '../../src/local-servers/postgres.ts';
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
      await postgres.crash();
      await postgres.revive();
      const { calls } = world.vendor.stats();
      await waitFor('calls again', () => world.vendor.stats().calls > calls + 2 * ids.length, 90_000);
      expect(daemon.child.exitCode).toBeNull();
      expect(await endCommands(daemon)).toEqual([0]);
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
    for (const redisUrl of [undefined, redis.url]) {
      const { code, stderr } = await startCommand(world, redisUrl).ended;
      expect(code).toBe(1);
      expect(stderr).toMatch(/^tim-mirror: .*without REDIS_URL.*\n$/);
    }
    expect(first.child.exitCode).toBeNull();
    expect(await endCommands(first)).toEqual([0]);
  });
});

describe('a daemon that can’t start says why in one sentence', () => {
  test.each([
    [
      'nobody at DATABASE_URL',
      { DATABASE_URL: 'postgres://postgres@127.0.0.1:1/none' },
      /Postgres does not answer/,
    ],
    ['nobody at REDIS_URL', { REDIS_URL: 'redis://127.0.0.1:1' }, /Redis does not answer/],
  ])('%s', async (_, env, sentence) => {
    await using world = await createWorld();
    const { code, stderr } = await startCommand(world, undefined, env).ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(/^tim-mirror: .*\n$/);
    expect(stderr).toMatch(sentence);
  });

  test('an empty database', async () => {
    await using world = await createWorld();
    await sql`drop schema mirror cascade`.execute(world.db);
    const { code, stderr } = await startCommand(world, undefined).ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(/^tim-mirror: .*run: tim-mirror migrate\n$/);
  });
});
