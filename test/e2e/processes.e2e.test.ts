import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect } from '../../db/client.ts';
import { migrate } from '../../db/migrate.ts';
import { enrolAccounts } from '../../db/queries/accounts.ts';
import { ensureApp } from '../../db/queries/apps.ts';
import { startPostgres } from '../../src/local-servers/postgres.ts';
import { migratePostgresQueues } from '../../workers/queues.ts';
import { type Command, daemonEnvironment, runCommand } from '../support/daemon.ts';
import {
  expectFeedIsMirror,
  expectMirrorIsTruth,
  keepChanging,
  populateWorld,
} from '../support/mirroring.ts';
import { createTestRedis, type TestRedis } from '../support/redis.ts';
import { waitFor } from '../support/wait-for.ts';
import { createWorld, testApp, type World } from '../support/world.ts';

let redis: TestRedis;

beforeAll(async () => {
  redis = await createTestRedis();
});

afterAll(async () => {
  await redis?.[Symbol.asyncDispose]();
});

function start(
  world: World,
  redisUrl: string | undefined,
  env: Record<string, string> = {},
  program?: string,
): Command {
  return runCommand(
    program === undefined ? ['start'] : [],
    daemonEnvironment({
      vendor: world.vendor,
      databaseUrl: world.database.url,
      env,
      ...(redisUrl === undefined ? {} : { redisUrl }),
    }),
    program === undefined ? {} : { program },
  );
}

const running = (daemon: Command) =>
  waitFor('the daemon to run', () => daemon.said().includes('tim-mirror runs') || undefined);

async function end(...daemons: Command[]): Promise<(number | null)[]> {
  for (const daemon of daemons) daemon.child.kill('SIGTERM');
  return Promise.all(daemons.map(async (daemon) => (await daemon.ended).code));
}

describe('two daemons on one Redis', () => {
  test('share the work and the limit, and together hold the truth', async () => {
    await using world = await createWorld({ callsPerSecond: 200 });
    const ids = await populateWorld(world);
    const program = fileURLToPath(new URL('../support/daemon-process.ts', import.meta.url));
    const daemons = [0, 1].map(() => start(world, redis.url, {}, program));
    await Promise.all(daemons.map(running));
    const changing = keepChanging(world, ids, 20);
    const polled = (daemon: Command) => daemon.said().split('"msg":"polled"').length - 1;
    await waitFor('both to have polled', () => daemons.every((daemon) => polled(daemon) > 200));
    changing.stop();
    await expectMirrorIsTruth(world);
    expect(await end(...daemons)).toEqual([0, 0]);
    await expectFeedIsMirror(world);
    expect(world.vendor.stats().answers['60007']).toBeUndefined();
    expect(world.vendor.stats().worstSecond).toBeLessThanOrEqual(200);
  });
});

describe('a daemon', () => {
  test('that is told to stop finishes what is under way, gives its leases back and exits 0', async () => {
    await using world = await createWorld();
    await populateWorld(world);
    const daemon = start(world, redis.url);
    await waitFor('calls', () => world.vendor.stats().calls > 50);
    expect(await end(daemon)).toEqual([0]);
    const { rows } = await sql`
      select count(*) filter (where leased_until is not null) as leased, count(*) filter (where fail_count > 0) as failed
      from mirror.poll_state
    `.execute(world.db);
    // Batches that wait in the queue keep their leases: another daemon takes them over.
    const queued = await new Redis(redis.url).llen(`{tim:${testApp.appId}}:poll-${testApp.appId}:wait`);
    expect(rows).toEqual([{ leased: expect.any(Number), failed: 0 }]);
    expect(Object(rows[0]).leased).toBeLessThanOrEqual(queued * 50);
  });

  test('goes on within seconds after Redis has lost everything, without exceeding the limit', async () => {
    await using world = await createWorld({ callsPerSecond: 200 });
    const ids = await populateWorld(world);
    const daemon = start(world, redis.url);
    const { vendor } = world;
    await waitFor('calls', () => vendor.stats().calls > ids.length);
    const client = new Redis(redis.url);
    await client.flushall();
    client.disconnect();
    const flushed = vendor.stats().calls;
    await waitFor('calls after the loss', () => vendor.stats().calls > flushed + ids.length, 60_000);
    expect(await end(daemon)).toEqual([0]);
    expect(vendor.stats().worstSecond).toBeLessThanOrEqual(200);
  });

  test('that was killed is replaced by the next, and the mirror comes to be the truth', async () => {
    await using world = await createWorld({ callsPerSecond: 200 });
    const ids = await populateWorld(world);
    const first = start(world, redis.url);
    await waitFor('calls', () => world.vendor.stats().calls > ids.length / 2);
    first.child.kill('SIGKILL');
    await first.ended;
    const second = start(world, redis.url);
    await running(second);
    await expectMirrorIsTruth(world);
    expect(await end(second)).toEqual([0]);
    await expectFeedIsMirror(world);
  });

  test('that was killed leaves accounts that another polls within 30 s, those whose calls hung too', async () => {
    await using world = await createWorld({ callsPerSecond: 200 });
    await populateWorld(world);
    world.vendor.setFaults([{ kind: 'hang', probability: 0.2 }]);
    const first = start(world, redis.url);
    await running(first);
    await waitFor('calls that hang', () => (world.vendor.stats().answers['hang'] ?? 0) > 5);
    const second = start(world, redis.url);
    await running(second);
    const { rows: leased } = await sql<{ key: number; claim: number }>`
      select account_key as key, claim_no as claim from mirror.poll_state where leased_until is not null
    `.execute(world.db);
    first.child.kill('SIGKILL');
    world.vendor.setFaults([]);
    const leftOver = async () => {
      const { rows } = await sql<{ left: number }>`
        select count(*) as left
        from mirror.poll_state state
        join unnest(${leased.map((row) => row.key)}::bigint[], ${leased.map((row) => row.claim)}::integer[])
          as claimed (account_key, claim_no) using (account_key)
        where state.claim_no = claimed.claim_no and leased_until is not null
      `.execute(world.db);
      return rows[0]?.left ?? 0;
    };
    expect(await leftOver()).toBeGreaterThan(5);
    await waitFor('nothing to be left of its claims', async () => (await leftOver()) === 0, 30_000);
    expect(await end(second)).toEqual([0]);
  });

  test('answers its probes, and is not ready without Redis', async () => {
    await using world = await createWorld();
    const own = await createTestRedis();
    const daemon = start(world, own.url);
    const url = await waitFor('the http server', () => /"url":"(http:[^"]+)"/.exec(daemon.said())?.[1]);
    const probe = async (path: string) => {
      const response = await fetch(url + path);
      return { status: response.status, body: await response.json() };
    };
    expect(await probe('/livez')).toEqual({ status: 200, body: { ok: true, stuck: [] } });
    expect(await probe('/readyz')).toEqual({ status: 200, body: { ok: true, unready: [] } });
    if (process.env['TEST_REDIS_URL'] === undefined) {
      await own[Symbol.asyncDispose]();
      expect(await probe('/readyz')).toEqual({ status: 503, body: { ok: false, unready: ['redis'] } });
      expect((await probe('/livez')).status).toBe(200);
    }
    expect(await end(daemon)).toEqual([0]);
  });
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
      const daemon = start({ ...world, database: { ...world.database, url: postgres.url() } }, undefined);
      await waitFor('calls', () => world.vendor.stats().calls > ids.length / 2);
      await postgres.crash();
      await postgres.revive();
      const { calls } = world.vendor.stats();
      await waitFor('calls again', () => world.vendor.stats().calls > calls + 2 * ids.length, 90_000);
      expect(daemon.child.exitCode).toBeNull();
      expect(await end(daemon)).toEqual([0]);
      expect(world.vendor.stats().worstSecond).toBeLessThanOrEqual(200);
    } finally {
      await db.destroy();
      await postgres.stop();
    }
  });

  test('a second daemon refuses to start with one sentence, and the first goes on', async () => {
    await using world = await createWorld();
    const first = start(world, undefined);
    await running(first);
    for (const redisUrl of [undefined, redis.url]) {
      const { code, stderr } = await start(world, redisUrl).ended;
      expect(code).toBe(1);
      expect(stderr).toMatch(/^tim-mirror: .*without REDIS_URL.*\n$/);
    }
    expect(first.child.exitCode).toBeNull();
    expect(await end(first)).toEqual([0]);
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
    const { code, stderr } = await start(world, undefined, env).ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(/^tim-mirror: .*\n$/);
    expect(stderr).toMatch(sentence);
  });

  test('an empty database', async () => {
    await using world = await createWorld();
    await sql`drop schema mirror cascade`.execute(world.db);
    const { code, stderr } = await start(world, undefined).ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(/^tim-mirror: .*run: tim-mirror migrate\n$/);
  });
});
