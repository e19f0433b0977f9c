import { fork } from 'node:child_process';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { plainServer, type RedisPlace, startRedis } from '../../dev/local-servers/redis.ts';
import { bucketKey, createRedisSlots } from '../../src/limiter/redis-slots.ts';
import type { SlotReservation, SlotSource } from '../../src/limiter/slots.ts';
import { createTokenBucket } from '../../src/limiter/token-bucket.ts';
import { silentLogger } from '../../src/log.ts';
import type { BucketReport } from '../support/bucket-caller.ts';
import {
  createSignal,
  measureRate,
  mostInASecond,
  mostOnAverage,
  testTokenBucket,
} from '../support/bucket-suite.ts';
import { createTestRedis, type TestRedis } from '../support/redis.ts';
import { waitFor } from '../support/wait-for.ts';

let server: TestRedis;
let redis: Redis;
let nextApp = 1;

beforeAll(async () => {
  server = await createTestRedis();
  redis = new Redis(server.url, { maxRetriesPerRequest: 0, enableOfflineQueue: false, lazyConnect: true });
  await redis.connect();
});

afterAll(async () => {
  redis?.disconnect();
  await server?.[Symbol.asyncDispose]();
});

const slotsOf = (appId: number, callsPerSecond: number) => createRedisSlots({ redis, appId, callsPerSecond });

function expectSilence({ firstInMs }: SlotReservation): void {
  expect(firstInMs).toBeGreaterThan(900);
  expect(firstInMs).toBeLessThanOrEqual(1000);
}

/** A master and a replica that has caught up. */
async function createPair() {
  const say = (sentence: string) => process.stderr.write(`${sentence}\n`);
  const fast = ['--repl-diskless-sync-delay', '0'];
  const args = (place: RedisPlace) => [...plainServer(place), ...fast];
  const servers = await Promise.all([startRedis({ say, args }), startRedis({ say, args })]);
  const [master, replica] = servers.map(({ url }) => new Redis(url));
  if (master === undefined || replica === undefined) throw new Error('there are no two servers');
  await replica.call('REPLICAOF', '127.0.0.1', String(servers[0].port));
  await waitFor('the replica to have caught up', async () =>
    /master_link_status:up/.test(await replica.info('replication')),
  );
  return {
    master,
    replica,
    /** What the master has written is known to the replica, which then takes over. */
    async promote() {
      await master.wait(1, 5000);
      await replica.call('REPLICAOF', 'NO', 'ONE');
    },
    async [Symbol.asyncDispose]() {
      for (const client of [master, replica]) client.disconnect();
      await Promise.all(servers.map((each) => each.stop()));
    },
  };
}

describe('a token bucket shared through Redis', () => {
  testTokenBucket((callsPerSecond) => {
    nextApp += 1;
    return slotsOf(nextApp, callsPerSecond);
  });

  test('three processes share one limit, also when the key is deleted under them', {
    timeout: 60_000,
  }, async () => {
    nextApp += 1;
    const rate = 190;
    const moments: number[] = [];
    const given: { at: number; slots: number }[] = [];
    const children = [0, 1, 2].map(() => {
      const child = fork(new URL('../support/bucket-caller.ts', import.meta.url), {
        env: {
          ...process.env,
          REDIS_URL: server.url,
          APP: String(nextApp),
          RATE: String(rate),
          CALLERS: '100',
        },
        // Plain Node, without what the test runner added.
        execArgv: [],
      });
      child.on('message', (report: BucketReport) => {
        moments.push(...report.moments);
        given.push({ at: report.at, slots: report.missed });
      });
      return child;
    });
    const calls = (least: number) => waitFor(`${least} calls`, () => moments.length >= least, 40_000);
    await calls(rate * 3);
    await redis.del(bucketKey(nextApp));
    const deletedAt = moments.length;
    await calls(deletedAt + rate * 3);
    await Promise.all(
      children.map((child) => {
        const ended = new Promise((resolve) => child.once('exit', resolve));
        child.send('stop');
        return ended;
      }),
    );

    expect(measureRate(moments).worstSecond).toBeLessThanOrEqual(mostInASecond(rate));
    // The second of silence after the deletion apart, nothing is wasted: the parts before and after it.
    const sorted = moments.toSorted((a, b) => a - b);
    const gap = sorted.findIndex((moment, index) => moment - (sorted[index - 1] ?? moment) > 700);
    expect(gap).toBeGreaterThan(0);
    // The last calls of each part are thinned out: processes reserve ahead by different stretches.
    for (const part of [sorted.slice(0, gap - rate / 2), sorted.slice(gap, -rate / 2)]) {
      const [from = 0, to = 0] = [part[0], part.at(-1)];
      // Slots that this machine was too busy to use were reserved all the same.
      const missed = given
        .filter(({ at }) => at > from && at <= to)
        .reduce((sum, { slots }) => sum + slots, 0);
      const reserved = ((part.length - 1 + missed) / (to - from)) * 1000;
      expect(reserved / rate).toBeGreaterThan(0.99);
      const { average, span } = measureRate(part);
      expect(average).toBeLessThanOrEqual(mostOnAverage(rate, span));
    }
  });

  test('a pause asked for by one process holds back the others', async () => {
    nextApp += 1;
    const [one, other] = [0, 1].map(() =>
      createTokenBucket({ slots: slotsOf(nextApp, 190), callsPerSecond: 190, log: silentLogger() }),
    );
    const signal = createSignal().signal;
    await one?.take(signal);
    await one?.pause(800);
    const held = performance.now();
    await other?.take(signal);
    expect(performance.now() - held).toBeGreaterThanOrEqual(790);
  });

  test('a record far in the future, left by a clock that was set back, counts as none', async () => {
    nextApp += 1;
    await slotsOf(nextApp, 190).reserve(1);
    const [, reign] = String(await redis.get(bucketKey(nextApp))).split(' ');
    await redis.set(bucketKey(nextApp), `${(Date.now() + 3_600_000) * 1000} ${reign}`);
    expectSilence(await slotsOf(nextApp, 190).reserve(1));
  });

  test('a replica that becomes the master is silent for a second, once, whatever it knows of the record', async () => {
    await using pair = await createPair();
    const slots = (client: Redis) => createRedisSlots({ redis: client, appId: 1, callsPerSecond: 190 });
    const untilSlotsComeAtOnce = (source: SlotSource) =>
      waitFor('the silence to end', async () => (await source.reserve(1)).firstInMs < 6);
    expectSilence(await slots(pair.master).reserve(1));
    await untilSlotsComeAtOnce(slots(pair.master));

    await pair.promote();
    expectSilence(await slots(pair.replica).reserve(1));
    await untilSlotsComeAtOnce(slots(pair.replica));
  });

  test('a pause that is longer than the silence outlives the change of masters', async () => {
    await using pair = await createPair();
    await createRedisSlots({ redis: pair.master, appId: 1, callsPerSecond: 190 }).pause(20_000);
    await pair.promote();
    const promoted = createRedisSlots({ redis: pair.replica, appId: 1, callsPerSecond: 190 });
    expect((await promoted.reserve(1)).firstInMs).toBeGreaterThan(10_000);
  });

  test('the key stays while an app is idle', async () => {
    nextApp += 1;
    await slotsOf(nextApp, 190).reserve(1);
    expect(await redis.ttl(bucketKey(nextApp))).toBe(-1);
  });

  test('never opens when Redis is away', async () => {
    const away = new Redis('redis://127.0.0.1:1', {
      lazyConnect: true,
      maxRetriesPerRequest: 0,
      enableOfflineQueue: false,
      retryStrategy: () => null,
    });
    away.on('error', () => undefined);
    const slots = createRedisSlots({ redis: away, appId: 1, callsPerSecond: 190 });
    const bucket = createTokenBucket({ slots, callsPerSecond: 190, log: silentLogger() });
    const stop = createSignal();
    const taking = bucket.take(stop.signal);
    await expect(waitFor('a token', () => bucket.stats().taken > 0, 1500)).rejects.toThrow(/in vain/);
    stop.abort();
    await expect(taking).rejects.toThrow(/abort/i);
    away.disconnect();
  });
});
