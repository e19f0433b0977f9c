import { expect, test } from 'vitest';
import { bucketKey } from '../../src/limiter/redis-slots.ts';
import { expectMirrorIsTruth } from '../support/mirroring.ts';
import { createTestCluster } from '../support/redis-cluster.ts';
import { alike, createSeveralApps, type TestApp } from '../support/several-apps.ts';
import { waitFor } from '../support/wait-for.ts';

/** Fewer than the accounts ask for, so that the limit is what holds the calls back. */
const callsPerSecond = 20;
/** A call that a busy machine holds up arrives with the next ones; a limit that is broken is broken by far more. */
const mostInASecond = callsPerSecond * 1.3;
const calls = (app: TestApp) => app.vendor.stats().calls;

test('on a Redis Cluster of three nodes, one of which is lost, the other apps go on at once and its own as soon as its replica has taken over; every mirror is right and no limit broken', async () => {
  await using cluster = await createTestCluster();
  await using world = await createSeveralApps(alike(6, { accounts: 60, callsPerSecond }));
  const [lost] = cluster.masters;
  const onLost = await Promise.all(
    world.apps.map(async ({ appId }) => (await cluster.ownerOf(bucketKey(appId))) === lost),
  );
  const served = world.apps.filter((_, index) => onLost[index]);
  const others = world.apps.filter((_, index) => !onLost[index]);
  expect(served.length).toBeGreaterThan(0);
  expect(others.length).toBeGreaterThan(0);

  const daemons = await Promise.all([0, 1].map(() => world.start({ REDIS_URL: cluster.url })));
  const changing = world.keepChanging(10);
  await waitFor('every app to be polled', () => world.apps.every((app) => calls(app) > 80));

  await lost?.crash();
  const before = new Map(world.apps.map((app) => [app, calls(app)]));
  const hasGoneOn = (app: TestApp) => calls(app) > (before.get(app) ?? 0) + 40;
  await waitFor('the other apps to go on', () => others.every(hasGoneOn), 60_000);
  await waitFor('the apps of the lost node to go on', () => served.every(hasGoneOn), 60_000);
  changing.stop();
  await Promise.all(
    world.apps.map(({ vendor, appId }) => expectMirrorIsTruth({ db: world.database.db, vendor }, appId)),
  );
  for (const daemon of daemons) daemon.child.kill('SIGTERM');
  for (const daemon of daemons) {
    expect((await daemon.ended).code).toBe(0);
    expect(daemon.said()).not.toMatch(/MaxListeners|unhandled/i);
  }
  for (const { vendor } of world.apps) expect(vendor.stats().worstSecond).toBeLessThanOrEqual(mostInASecond);
});
