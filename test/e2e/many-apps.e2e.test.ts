import { Redis } from 'ioredis';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { createTestRedis } from '../support/redis.ts';
import { alike, createSeveralApps, type SeveralApps } from '../support/several-apps.ts';
import { waitFor } from '../support/wait-for.ts';

/** Connections of this world's daemon to Postgres, by what they are for. */
async function postgresConnections({ database }: SeveralApps) {
  const { rows } = await sql<{ statements: number; upkeep: number; lock: number; all: number }>`
    select
      count(*) filter (where application_name = 'tim-mirror')::integer as statements,
      count(*) filter (where application_name = 'tim-mirror upkeep')::integer as upkeep,
      count(*) filter (where application_name = 'tim-mirror lock')::integer as lock,
      count(*)::integer as all
    from pg_stat_activity where datname = current_database() and application_name not like 'tim-mirror test%'
  `.execute(database.db);
  return rows[0];
}

async function redisClients(url: string): Promise<readonly string[]> {
  const redis = new Redis(url, { connectionName: 'counter' });
  try {
    const list = String(await redis.client('LIST'));
    return [...list.matchAll(/ name=(\S*)/g)]
      .map(([, name = '']) => name)
      .filter((name) => name !== 'counter');
  } finally {
    redis.disconnect();
  }
}

const polled = ({ apps }: SeveralApps) => apps.every(({ vendor }) => vendor.stats().calls > 5);

test('one process serves fifty apps, with two connections to Redis for each and sixteen to Postgres for all', async () => {
  await using redis = await createTestRedis();
  await using world = await createSeveralApps(alike(50, { accounts: 3, callsPerSecond: 2 }));
  const daemon = await world.start({ REDIS_URL: redis.url, LOG_LEVEL: 'info' });
  await waitFor('every app to be polled', () => polled(world), 90_000);
  const names = await redisClients(redis.url);
  expect(names.filter((name) => name.startsWith('{tim'))).toHaveLength(2 * 50 + 1);
  expect(names.filter((name) => name.startsWith('tim-mirror'))).toHaveLength(2);
  const { lock, statements, upkeep, all } = (await postgresConnections(world)) ?? {};
  expect({ lock, all }).toEqual({ lock: 1, all: Number(statements) + Number(upkeep) + 1 });
  expect(upkeep).toBeLessThanOrEqual(3);
  expect(statements).toBeLessThanOrEqual(12);
  for (const { vendor } of world.apps) expect(vendor.stats().worstSecond).toBeLessThanOrEqual(2 + 3);
  daemon.child.kill('SIGTERM');
  expect((await daemon.ended).code).toBe(0);
  // On a machine short of processors Redis may answer late, and that is said as a warning.
  expect(daemon.said()).not.toMatch(/MaxListeners|unhandled|"level":"error"/i);
});

test('without Redis ten apps have two connections to Postgres each, and not more than twenty-two beside', async () => {
  await using world = await createSeveralApps(alike(10, { accounts: 3, callsPerSecond: 2 }));
  const daemon = await world.start({ LOG_LEVEL: 'info' });
  await waitFor('every app to be polled', () => polled(world), 60_000);
  const { all } = (await postgresConnections(world)) ?? {};
  expect(all).toBeGreaterThan(2 * 10);
  expect(all).toBeLessThanOrEqual(2 * 10 + 1 + 6 + 12 + 3 + 1);
  daemon.child.kill('SIGTERM');
  expect((await daemon.ended).code).toBe(0);
  expect(daemon.said()).not.toMatch(/MaxListeners|unhandled|"level":"error"/i);
});
