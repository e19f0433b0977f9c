import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { enrolAccounts } from '../../db/queries/accounts.ts';
import { ensureApp } from '../../db/queries/apps.ts';
import { createRandom } from '../../src/simulator/random.ts';
import { type Simulator, startSimulator } from '../../src/simulator/server.ts';
import { readStatus } from '../../src/status/read-status.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createTestRedis, type TestRedis } from '../support/redis.ts';
import { waitFor } from '../support/wait-for.ts';
import { testSeed } from '../support/world.ts';

/** Each of its own size, so that no figure can be another's. The last has enough never read to use all of its calls. */
const apps = [
  { appId: 1_400_000_001, accounts: 60, callsPerSecond: 50 },
  { appId: 1_400_000_002, accounts: 70, callsPerSecond: 40 },
  { appId: 1_400_000_003, accounts: 2000, callsPerSecond: 30 },
] as const;
const secretKey = 'the-secret-key-of-every-app';

let redis: TestRedis;

beforeAll(async () => {
  redis = await createTestRedis();
});

afterAll(async () => {
  await redis?.[Symbol.asyncDispose]();
});

interface Company extends AsyncDisposable {
  readonly database: TestDatabase;
  /** The vendor, once for each app. */
  readonly vendors: readonly Simulator[];
  /** A daemon that knows the first `count` apps. */
  start(count: number): Promise<TestDaemon>;
  statusOf(index: number): Promise<Awaited<ReturnType<typeof readStatus>>['apps'][number]>;
}

async function foundCompany(redisUrl?: string): Promise<Company> {
  const random = createRandom(testSeed());
  const database = await createTestDatabase();
  const vendors = await Promise.all(
    apps.map(({ appId }) => startSimulator({ appId, secretKey, random, latency: { least: 5, most: 20 } })),
  );
  for (const [index, app] of apps.entries()) {
    const ids = Array.from(
      { length: app.accounts },
      (_, number) => `user-${String(number).padStart(3, '0')}`,
    );
    for (const id of ids) {
      vendors[index]?.truth.addAccount(id);
      vendors[index]?.truth.change(id, { kind: 'add_group', group: `of ${app.appId}`, members: ['one'] });
    }
    await ensureApp(database.db, app);
    await enrolAccounts(database.db, app.appId, ids);
  }
  return {
    database,
    vendors,
    start: (count) =>
      startTestDaemon({
        vendor: vendors[0] as Simulator,
        databaseUrl: database.url,
        ...(redisUrl === undefined ? {} : { redisUrl }),
        env: {
          TIM_SDK_APP_ID: '',
          TIM_SECRET_KEY: '',
          TIM_ENDPOINT: '',
          TIM_APPS_FILE: 'apps.json',
          // As often as the budget allows.
          POLL_MIN_INTERVAL: '100ms',
          POLL_MAX_INTERVAL: '1s',
        },
        files: {
          'apps.json': JSON.stringify(
            apps.slice(0, count).map(({ appId, callsPerSecond }, index) => ({
              ...{ sdkAppId: appId, secretKey, callsPerSecond },
              endpoint: vendors[index]?.origin,
            })),
          ),
        },
      }),
    async statusOf(index) {
      const found = (await readStatus(database.db)).apps.find((app) => app.appId === apps[index]?.appId);
      if (found === undefined) throw new Error('no such app');
      return found;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(vendors.map((vendor) => vendor.close()));
      await database[Symbol.asyncDispose]();
    },
  };
}

const callsOf = (vendor: Simulator | undefined) => vendor?.stats().calls ?? 0;

/** How long `vendor` takes to be called so many times. */
async function timeFor(calls: number, vendor: Simulator | undefined): Promise<number> {
  const [from, began] = [callsOf(vendor), performance.now()];
  await waitFor(`${calls} calls`, () => callsOf(vendor) - from >= calls);
  return performance.now() - began;
}

describe.each([
  ['on Redis', (): string | undefined => redis.url],
  ['on Postgres', (): string | undefined => undefined],
] as const)('a daemon with several apps whose queues are %s', (_, redisUrl) => {
  test('polls the others at their rate while one is refused and one hangs', async () => {
    await using company = await foundCompany(redisUrl());
    const [refusing, hanging, well] = company.vendors;
    await using running = await company.start(3);
    for (const index of [0, 1])
      await waitFor(
        'the first read',
        async () => (await company.statusOf(index)).accounts.active === apps[index]?.accounts,
      );
    // Ratios within one run, the better of two, for the machine may have other things to do.
    const allWell = Math.min(await timeFor(40, well), await timeFor(40, well));
    refusing?.setSecretKey('another');
    hanging?.setFaults([{ kind: 'hang', probability: 1 }]);
    await waitFor('the halt', async () => (await company.statusOf(0)).state === 'halted');
    const refused = callsOf(refusing);
    await timeFor(50, hanging);
    const othersIll = Math.min(await timeFor(40, well), await timeFor(40, well));
    expect(othersIll).toBeLessThan(1.25 * allWell);

    expect(await company.statusOf(0)).toMatchObject({ state: 'halted', halt: { code: 70003 } });
    expect(await company.statusOf(1)).toMatchObject({ state: 'polling', halt: null });
    expect(await company.statusOf(2)).toMatchObject({ state: 'polling', problems: [] });
    expect(callsOf(refusing) - refused).toBeLessThanOrEqual(3);
    for (const [index, { callsPerSecond }] of apps.entries())
      expect(company.vendors[index]?.stats().worstSecond).toBeLessThanOrEqual(callsPerSecond + 3);
    const metrics = await (await fetch(`${running.daemon.http.url}/metrics`)).text();
    for (const { appId, callsPerSecond } of apps)
      expect(metrics).toContain(`tim_mirror_limit_calls_per_second{app="${appId}"} ${callsPerSecond}`);
    // Nobody's groups are among another's.
    const rows = await company.database.db
      .selectFrom('tim.friend_groups')
      .select(['app_id', 'group_name'])
      .distinct()
      .orderBy('app_id')
      .execute();
    expect(rows).toEqual(apps.map(({ appId }) => ({ app_id: appId, group_name: `of ${appId}` })));
  });
});

test('an app is added by a rolling restart, while those that were there are polled on', async () => {
  await using company = await foundCompany(redis.url);
  const [first, , third] = company.vendors;
  let one = await company.start(2);
  let other = await company.start(2);
  try {
    await waitFor('polls', () => callsOf(first) > 100);
    expect(callsOf(third)).toBe(0);
    let quietest = 0;
    let last = performance.now();
    let seen = callsOf(first);
    const watch = setInterval(() => {
      const calls = callsOf(first);
      const now = performance.now();
      if (calls === seen) quietest = Math.max(quietest, now - last);
      else [seen, last] = [calls, now];
    }, 20);
    await one.daemon.stop();
    one = await company.start(3);
    // One that knows of it is enough, and one that does not is in nobody's way.
    await waitFor('the new app', async () => (await company.statusOf(2)).accounts.active > 30);
    await other.daemon.stop();
    other = await company.start(3);
    await timeFor(100, third);
    await timeFor(100, first);
    clearInterval(watch);
    expect(quietest).toBeLessThan(10_000);
    for (const [index, { callsPerSecond }] of apps.entries())
      expect(company.vendors[index]?.stats().worstSecond).toBeLessThanOrEqual(callsPerSecond + 3);
  } finally {
    await Promise.all([one.daemon.stop(), other.daemon.stop()]);
  }
});
