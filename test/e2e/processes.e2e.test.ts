import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Command } from '../support/daemon.ts';
import { endCommands, startCommand, untilRunning } from '../support/daemon-command.ts';
import {
  expectFeedIsMirror,
  expectMirrorIsTruth,
  keepChanging,
  populateWorld,
} from '../support/mirroring.ts';
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

describe('two daemons on one Redis', () => {
  test('share the work and the limit, and together hold the truth', async () => {
    await using world = await createWorld({ callsPerSecond: 200 });
    const ids = await populateWorld(world);
    const program = fileURLToPath(new URL('../support/daemon-process.ts', import.meta.url));
    const daemons = [0, 1].map(() => startCommand(world, redis.url, {}, { program }));
    await Promise.all(daemons.map(untilRunning));
    const changing = keepChanging(world, ids, 20);
    const polled = (daemon: Command) => daemon.said().split('"msg":"polled"').length - 1;
    await waitFor('both to have polled', () => daemons.every((daemon) => polled(daemon) > 200));
    changing.stop();
    await expectMirrorIsTruth(world);
    expect(await endCommands(...daemons)).toEqual([0, 0]);
    await expectFeedIsMirror(world);
    expect(world.vendor.stats().answers['60007']).toBeUndefined();
    expect(world.vendor.stats().worstSecond).toBeLessThanOrEqual(200);
  });
});

describe('a daemon', () => {
  test('that is asked to stop finishes what is under way, gives its leases back and exits 0', async () => {
    await using world = await createWorld();
    await populateWorld(world);
    const daemon = startCommand(world, redis.url);
    await waitFor('calls', () => world.vendor.stats().calls > 50);
    expect(await endCommands(daemon)).toEqual([0]);
    const { rows } = await sql`
      select count(*) filter (where leased_until is not null) as leased, count(*) filter (where fail_count > 0) as failed
      from mirror.poll_state
    `.execute(world.db);
    // Batches that wait in the queue keep their leases: another daemon takes them over.
    const client = new Redis(redis.url);
    const [waiting = ''] = await client.keys(`{tim:${testApp.appId}}:*:poll-${testApp.appId}:wait`);
    const queued = await client.llen(waiting);
    expect(rows).toEqual([{ leased: expect.any(Number), failed: 0 }]);
    expect(Object(rows[0]).leased).toBeLessThanOrEqual(queued * 50);
  });

  test('goes on within seconds after Redis has lost everything, without exceeding the limit', async () => {
    await using world = await createWorld({ callsPerSecond: 200 });
    const ids = await populateWorld(world);
    const daemon = startCommand(world, redis.url);
    const { vendor } = world;
    await waitFor('calls', () => vendor.stats().calls > ids.length);
    const client = new Redis(redis.url);
    await client.flushall();
    client.disconnect();
    const flushed = vendor.stats().calls;
    await waitFor('calls after the loss', () => vendor.stats().calls > flushed + ids.length, 60_000);
    expect(await endCommands(daemon)).toEqual([0]);
    expect(vendor.stats().worstSecond).toBeLessThanOrEqual(200);
  });

  test('answers its probes, and is not ready without Redis', async () => {
    await using world = await createWorld();
    const own = await createTestRedis();
    const daemon = startCommand(world, own.url);
    const url = await waitFor('the http server', () => /"url":"(http:[^"]+)"/.exec(daemon.said())?.[1]);
    const probe = async (path: string) => {
      const response = await fetch(url + path);
      return { status: response.status, body: await response.json() };
    };
    expect(await probe('/livez')).toEqual({ status: 200, body: { ok: true, stuck: [] } });
    expect(await probe('/readyz')).toEqual({ status: 200, body: { ok: true, unready: [] } });
    if (process.env['TEST_REDIS_URL'] === undefined) {
      await own[Symbol.asyncDispose]();
      // What was found a moment ago is reported for a second.
      await waitFor('readiness to notice', async () => (await probe('/readyz')).status === 503);
      expect(await probe('/readyz')).toMatchObject({
        status: 503,
        body: {
          ok: false,
          unready: ['redis'],
          reasons: { redis: expect.stringMatching(/^Redis does not answer/) },
        },
      });
      expect((await probe('/livez')).status).toBe(200);
    }
    expect(await endCommands(daemon)).toEqual([0]);
  });
});
