import { expect, test } from 'vitest';
import { bucketKey } from '../../src/limiter/redis-slots.ts';
import { expectMirrorIsTruth } from '../support/mirroring.ts';
import { createTestCluster } from '../support/redis-cluster.ts';
import type { TestApp } from '../support/several-apps.ts';
import { createSeveralApps } from '../support/several-apps.ts';
import { waitFor } from '../support/wait-for.ts';

const calls = (app: TestApp) => app.vendor.stats().calls;

test('on a Redis Cluster two daemons share two apps, and when a node is lost the app it serves goes on with its replica', {
  timeout: 150_000,
}, async () => {
  await using cluster = await createTestCluster();
  await using world = await createSeveralApps({ apps: 6, accounts: 60, callsPerSecond: 60 });
  const [lost] = cluster.masters;
  const owners = new Map<TestApp, boolean>();
  for (const app of world.apps) owners.set(app, (await cluster.ownerOf(bucketKey(app.appId))) === lost);
  const served = world.apps.filter((app) => owners.get(app));
  const others = world.apps.filter((app) => !owners.get(app));
  expect(served.length).toBeGreaterThan(0);
  expect(others.length).toBeGreaterThan(0);

  const daemons = [];
  for (let index = 0; index < 2; index += 1) daemons.push(await world.start({ REDIS_URL: cluster.url }));
  const changing = world.keepChanging(10);
  await waitFor('every app to be polled', () => world.apps.every((app) => calls(app) > 150));

  await lost?.crash();
  const before = new Map(world.apps.map((app) => [app, calls(app)]));
  const since = (app: TestApp) => calls(app) - (before.get(app) ?? 0);
  await waitFor('the other apps to go on', () => others.every((app) => since(app) > 150), 60_000);
  await waitFor('the app of the lost node to go on', () => served.every((app) => since(app) > 150), 60_000);
  changing.stop();
  for (const { vendor, appId } of world.apps) {
    await expectMirrorIsTruth({ db: world.database.db, vendor }, appId);
    expect(vendor.stats().worstSecond).toBeLessThanOrEqual(63);
    expect(vendor.stats().answers['60007']).toBeUndefined();
  }
  for (const daemon of daemons) daemon.child.kill('SIGTERM');
  for (const daemon of daemons) {
    expect((await daemon.ended).code).toBe(0);
    expect(daemon.said()).not.toMatch(/MaxListeners|unhandled/i);
  }
});
