import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestDaemon } from '../support/daemon.ts';
import { createTestRedis, type TestRedis } from '../support/redis.ts';
import { startSwallowingProxy } from '../support/swallowing-proxy.ts';
import { waitFor } from '../support/wait-for.ts';
import { createWorld } from '../support/world.ts';

let redis: TestRedis;

beforeAll(async () => {
  redis = await createTestRedis();
});

afterAll(async () => {
  await redis?.[Symbol.asyncDispose]();
});

test.each([['with Redis'], ['without Redis']])(
  'a daemon %s polls again within 60 s after all its sessions to Postgres have fallen silent',
  async (mode) => {
    await using world = await createWorld({ callsPerSecond: 200 });
    const { db, database, vendor } = world;
    await world.addAccounts(...Array.from({ length: 20 }, (_, index) => `user-${index}`));
    await using proxy = await startSwallowingProxy(database.url);
    await using running = await startTestDaemon({
      vendor,
      databaseUrl: proxy.through(database.url),
      ...(mode === 'with Redis' ? { redisUrl: redis.url } : {}),
    });
    const behind = async (since: Date) => {
      const { rows } = await sql<{ count: number }>`
        select count(*)::integer as count from mirror.poll_state
        where verified_at is null or verified_at <= ${since}
      `.execute(db);
      return rows[0]?.count ?? 0;
    };
    const now = async () =>
      (await sql<{ now: Date }>`select clock_timestamp() as now`.execute(db)).rows[0]?.now ?? new Date();
    const begin = await now();
    await waitFor('first reads', async () => (await behind(begin)) === 0, 60_000);

    proxy.swallow();
    const { origin } = new URL(running.daemon.http.url);
    // What was under way may be stored yet.
    const silence = new Date((await now()).getTime() + 2000);
    await waitFor('every account to be polled again', async () => (await behind(silence)) === 0, 60_000);
    await waitFor('all silent sessions to be ended', () => proxy.swallowed() === 0, 60_000);
    expect((await fetch(`${origin}/livez`)).status).toBe(200);
    await waitFor('readiness', async () => (await fetch(`${origin}/readyz`)).status === 200);
    const said = (text: string) => running.logLines().filter((line) => line.includes(text));
    await waitFor('the end of it in the log', () => said('postgres has recovered').length > 0);
    expect(said('"part":"postgres","cause"')).toHaveLength(1);
    expect(said('"level":"warn"').filter((line) => line.includes('"stack"'))).toEqual([]);
  },
  240_000,
);
