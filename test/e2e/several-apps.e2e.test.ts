import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readMirrorRows } from '../../db/queries/mirror.ts';
import { compareWithTruth } from '../../src/simulator/compare.ts';
import type { Simulator } from '../../src/simulator/server.ts';
import { readStatus } from '../../src/status/read-status.ts';
import type { Command } from '../support/daemon.ts';
import { createTestRedis, type TestRedis } from '../support/redis.ts';
import { type AppSize, createSeveralApps, type SeveralApps } from '../support/several-apps.ts';
import { waitFor } from '../support/wait-for.ts';

/** Each of its own size, so that no figure can be another's. The last has enough never polled to use all of its calls. */
const sizes: readonly AppSize[] = [
  { accounts: 60, callsPerSecond: 50 },
  { accounts: 70, callsPerSecond: 40 },
  { accounts: 2000, callsPerSecond: 30 },
];
/** As often as the budget allows. */
const eagerly = { POLL_MIN_INTERVAL: '100ms', POLL_MAX_INTERVAL: '1s', LOG_LEVEL: 'info' };

let redis: TestRedis;

beforeAll(async () => {
  redis = await createTestRedis();
});

afterAll(async () => {
  await redis?.[Symbol.asyncDispose]();
});

async function statusOf({ database, apps }: SeveralApps, index: number) {
  const found = (await readStatus(database.db)).apps.find((app) => app.appId === apps[index]?.appId);
  if (found === undefined) throw new Error('no such app');
  return found;
}

/** A call that a busy machine holds up arrives with the next ones; a limit that is broken is broken by far more. */
function expectLimitsKept({ apps }: SeveralApps): void {
  for (const { vendor, callsPerSecond } of apps)
    expect(vendor.stats().worstSecond).toBeLessThanOrEqual(callsPerSecond * 1.2);
}

const callsOf = (vendor: Simulator | undefined) => vendor?.stats().calls ?? 0;

/** How long `vendor` takes to be called this many times. */
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
    const url = redisUrl();
    await using world = await createSeveralApps(sizes);
    const [refusing, hanging, well] = world.apps.map(({ vendor }) => vendor);
    const daemon = await world.start({ ...eagerly, ...(url === undefined ? {} : { REDIS_URL: url }) });
    for (const index of [0, 1]) {
      const { accounts = 0 } = world.apps[index] ?? {};
      await waitFor('first reads', async () => (await statusOf(world, index)).accounts.active === accounts);
    }
    // Ratios within one run, the better of two, for the machine may have other things to do.
    const allWell = Math.min(await timeFor(40, well), await timeFor(40, well));
    refusing?.setSecretKey('another');
    hanging?.setFaults([{ kind: 'hang', probability: 1 }]);
    await waitFor('the halt', async () => (await statusOf(world, 0)).state === 'halted');
    const refused = callsOf(refusing);
    await timeFor(50, hanging);
    const othersIll = Math.min(await timeFor(40, well), await timeFor(40, well));
    expect(othersIll).toBeLessThan(1.25 * allWell);

    expect(await statusOf(world, 0)).toMatchObject({ state: 'halted', halt: { code: 70003 } });
    expect(await statusOf(world, 1)).toMatchObject({ state: 'polling', halt: null });
    expect(await statusOf(world, 2)).toMatchObject({ state: 'polling', problems: [] });
    expect(callsOf(refusing) - refused).toBeLessThanOrEqual(3);
    expectLimitsKept(world);
    const address = /"url":"(http[^"]+)"/.exec(daemon.said())?.[1];
    const metrics = await (await fetch(`${address}/metrics`)).text();
    for (const { appId, vendor, callsPerSecond } of world.apps) {
      expect(metrics).toContain(`tim_mirror_limit_calls_per_second{app="${appId}"} ${callsPerSecond}`);
      // No account's groups are among another's.
      const mirror = await readMirrorRows(world.database.db, appId);
      expect(compareWithTruth(vendor.truth.rows(), mirror).invented).toEqual([]);
    }
    daemon.child.kill('SIGTERM');
    expect((await daemon.ended).code).toBe(0);
  });
});

test('an app is added by a rolling restart, while those that were there are polled on', async () => {
  await using world = await createSeveralApps(sizes);
  const [first, , third] = world.apps.map(({ vendor }) => vendor);
  const start = (apps: number) => world.start({ ...eagerly, REDIS_URL: redis.url }, apps);
  const stop = async ({ child, ended }: Command) => {
    child.kill('SIGTERM');
    expect((await ended).code).toBe(0);
  };
  const [one, other] = await Promise.all([start(2), start(2)]);
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
  await stop(one);
  // One that knows of it is enough, and one that does not does no harm.
  const next = await start(3);
  await waitFor('the new app', async () => (await statusOf(world, 2)).accounts.active > 30);
  await stop(other);
  const another = await start(3);
  await timeFor(60, third);
  await timeFor(60, first);
  clearInterval(watch);
  expect(quietest).toBeLessThan(10_000);
  expectLimitsKept(world);
  await Promise.all([stop(next), stop(another)]);
});
