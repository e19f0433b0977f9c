import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type AccountSourceRow, readAccountSources } from '../../db/queries/account-sources.ts';
import { syncAccounts } from '../../src/accounts/sync-accounts.ts';
import { createCache } from '../../src/cache.ts';
import { silentLogger } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics/create-metrics.ts';
import { exposeDatabase } from '../../src/metrics/database-gauges.ts';
import { readStats } from '../../src/status/read-stats.ts';
import { syncOnce } from '../../workers/accounts-worker.ts';
import { type CustomerDatabase, startCustomerDatabase } from '../support/account-source.ts';
import { startTestDaemon } from '../support/daemon.ts';
import { createTestRedis, type TestRedis } from '../support/redis.ts';
import { waitFor } from '../support/wait-for.ts';
import { createWorld, testApp, type World } from '../support/world.ts';

let customer: CustomerDatabase;
let redis: TestRedis;

beforeAll(async () => {
  customer = await startCustomerDatabase();
  redis = await createTestRedis();
});

afterAll(async () => {
  await customer?.[Symbol.asyncDispose]();
  await redis?.[Symbol.asyncDispose]();
});

beforeEach(() => customer.setUsers('alice', 'bob', 'carol'));

const enrolled = async ({ db }: World) =>
  (await sql<{ id: string }>`select account_id as id from tim.accounts order by 1`.execute(db)).rows.map(
    ({ id }) => id,
  );

/** How the source is, once the condition holds. */
const seen = (world: World, what: string, so: (source: AccountSourceRow) => boolean) =>
  waitFor(what, async () => (await readAccountSources(world.db)).find(so));

const startDaemon = (world: World, redisUrl: string | undefined, env: Record<string, string> = {}) =>
  startTestDaemon({
    vendor: world.vendor,
    databaseUrl: world.database.url,
    env: {
      ACCOUNTS_SOURCE_URL: customer.url,
      ACCOUNTS_QUERY: 'select id from users',
      ACCOUNTS_SYNC_INTERVAL: '1s',
      ...env,
    },
    ...(redisUrl === undefined ? {} : { redisUrl }),
  });

describe.each([
  ['on Redis', (): string | undefined => redis.url],
  ['on Postgres', (): string | undefined => undefined],
] as const)('a daemon whose queues are %s', (_, redisUrl) => {
  test('syncs accounts on schedule, never removes, and goes on when the source is back', async () => {
    await using world = await createWorld();
    await using running = await startDaemon(world, redisUrl());
    await seen(world, 'the first sync', ({ named }) => named === 3);
    expect(await enrolled(world)).toEqual(['alice', 'bob', 'carol']);

    await customer.setUsers('alice', 'bob', 'dave');
    await seen(world, 'a sync that misses one', ({ vanished }) => vanished === 1);
    expect(await enrolled(world)).toEqual(['alice', 'bob', 'carol', 'dave']);

    await customer.setUsers();
    await seen(world, 'a sync that fails', ({ failure }) => failure?.includes('names no account') === true);
    expect(await enrolled(world)).toHaveLength(4);
    const said = running.logLines().map((line): Record<string, unknown> => JSON.parse(line));
    expect(said).toContainEqual(
      expect.objectContaining({
        level: 'info',
        named: 3,
        enrolled: 3,
        msg: 'accounts synced with their source',
      }),
    );
    expect(said).toContainEqual(
      expect.objectContaining({ level: 'warn', failure: expect.stringContaining('names no account') }),
    );
    await customer.setUsers('alice', 'bob', 'dave', 'eve');
    await seen(world, 'a good sync', ({ failure, enrolled: fresh }) => failure === null && fresh === 1);
    expect(running.logLines().join('\n')).not.toContain('may select from one table');
    expect(running.logLines().join('\n')).not.toContain(new URL(customer.url).password);
  });

  test('syncs as soon as it runs, and ends at once while its source hangs, which is no failure', async () => {
    await using world = await createWorld();
    const running = await startDaemon(world, redisUrl(), {
      ACCOUNTS_QUERY: 'select pg_sleep(60)::text',
      ACCOUNTS_SYNC_INTERVAL: '1h',
    });
    await seen(world, 'the sync to run', ({ runningSince }) => runningSince !== null);
    const began = performance.now();
    await running.daemon.stop();
    expect(performance.now() - began).toBeLessThan(12_000);
    expect(await readAccountSources(world.db)).toEqual([]);
  });
});

test('a daemon whose source lets it do more than read says so when it starts', async () => {
  await using world = await createWorld();
  await using running = await startDaemon(world, redis.url, { ACCOUNTS_SOURCE_URL: customer.adminUrl });
  await waitFor('a warning', () =>
    running.logLines().some((line) => /"level":"warn".*the source of the accounts is a superuser/.test(line)),
  );
  expect(running.logLines().join('\n')).not.toContain(new URL(customer.adminUrl).password);
});

test('two daemons on one Redis sync one at a time', async () => {
  await using world = await createWorld();
  const query = 'select id || left(pg_sleep(0.5)::text, 0) from users';
  await using _one = await startDaemon(world, redis.url, { ACCOUNTS_QUERY: query });
  await using _other = await startDaemon(world, redis.url, { ACCOUNTS_QUERY: query });
  let most = 0;
  let syncs = 0;
  await waitFor('three syncs', async () => {
    const { rows } = await customer.run(
      "select from pg_stat_activity where query like 'fetch forward%' and state = 'active'",
    );
    most = Math.max(most, rows.length);
    syncs =
      (await sql<{ run: number }>`select run_no as run from mirror.account_source`.execute(world.db)).rows[0]
        ?.run ?? 0;
    return syncs >= 3;
  });
  expect(most).toBe(1);
});

test('a schedule that is made again, as after Redis has lost it, does not have the source read again', async () => {
  await using world = await createWorld();
  const deps = { db: world.db, log: silentLogger(), syncIntervalMs: 3_600_000, signal: world.stop.soft };
  const app = {
    ...testApp,
    origin: world.vendor.origin,
    accountSource: { url: customer.url, query: 'select id from users' },
  };
  const runs = async () =>
    (await sql<{ run: number }>`select run_no as run from mirror.account_source`.execute(world.db)).rows[0]
      ?.run;
  await syncOnce(deps, app);
  await syncOnce(deps, app);
  expect(await runs()).toBe(1);
  await sql`update mirror.account_source set synced_at = now() - interval '31 minutes'`.execute(world.db);
  await syncOnce(deps, app);
  expect(await runs()).toBe(2);
  // After a failure it is tried whenever there is an occasion.
  await customer.setUsers();
  await syncOnce({ ...deps, syncIntervalMs: 1000 }, app);
  await sql`update mirror.account_source set synced_at = now() - interval '2 seconds'`.execute(world.db);
  await syncOnce({ ...deps, syncIntervalMs: 1000 }, app);
  await syncOnce(deps, app);
  expect(await runs()).toBe(4);
});

test('metrics report what the source names, what has vanished, and for how long syncs have failed', async () => {
  await using world = await createWorld();
  const reported = async () => {
    // A new one each time, for figures are kept.
    const { registry } = createMetrics();
    exposeDatabase(
      registry,
      createCache({ keepMs: 0, read: () => readStats(world.db, () => world.deps.now()) }),
    );
    const lines = (await registry.metrics()).split('\n');
    return lines.filter((line) => line.startsWith('tim_mirror_accounts_sync_'));
  };
  expect(await reported()).toEqual([]);

  const sync = (query: string) =>
    syncAccounts(world.db, {
      appId: testApp.appId,
      source: { url: customer.url, query },
      signal: world.stop.soft,
    });
  await sync('select id from users');
  await sync("select id from users where id <> 'bob'");
  await sync('select nothing');
  await sql`update mirror.account_source set failing_since = now() - interval '3 hours'`.execute(world.db);
  expect(await reported()).toEqual([
    expect.stringMatching(/^tim_mirror_accounts_sync_age_seconds\{app="1400000000"\} \d/),
    expect.stringMatching(/^tim_mirror_accounts_sync_failing_seconds\{app="1400000000"\} 1080\d/),
    'tim_mirror_accounts_sync_named_accounts{app="1400000000"} 2',
    'tim_mirror_accounts_sync_vanished_accounts{app="1400000000"} 1',
  ]);
  // No sync has been tried for long: the source is not used any more.
  await sql`update mirror.account_source set failed_at = now() - interval '3 days'`.execute(world.db);
  expect(await reported()).toContain('tim_mirror_accounts_sync_failing_seconds{app="1400000000"} 0');
});
