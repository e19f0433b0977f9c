import { expect, test } from 'vitest';
import { expectMirrorIsTruth } from '../support/mirroring.ts';
import { createTestSentinels } from '../support/redis-sentinels.ts';
import { alike, createSeveralApps } from '../support/several-apps.ts';
import { waitFor } from '../support/wait-for.ts';

/** Fewer than the accounts ask for, so that the limit is what holds the calls back. */
const callsPerSecond = 60;
/** A call that a busy machine holds up arrives with the next ones; a limit that is broken is broken by far more. */
const mostInASecond = callsPerSecond * 1.2;

test('when the master that two daemons work on is killed, and when a living one is replaced, they go on with the replica; the mirror is right and the limit was never broken', async () => {
  await using sentinels = await createTestSentinels();
  await using world = await createSeveralApps(alike(1, { accounts: 200, callsPerSecond }));
  const [app] = world.apps;
  if (app === undefined) throw new Error('there is no app');
  const { vendor, appId } = app;
  const daemons = await Promise.all([0, 1].map(() => world.start({ REDIS_URL: sentinels.url })));
  const changing = world.keepChanging(10);
  const goOn = async (what: string) => {
    const { calls } = vendor.stats();
    await waitFor(what, () => vendor.stats().calls > calls + 2 * callsPerSecond, 60_000);
  };
  await goOn('polls');

  await sentinels.master.crash();
  await sentinels.untilMasterIs(sentinels.replica);
  await goOn('polls on the replica');

  await sentinels.master.revive();
  await sentinels.failOverTo(sentinels.master);
  await goOn('polls on the old master');

  changing.stop();
  await expectMirrorIsTruth({ db: world.database.db, vendor }, appId);
  for (const daemon of daemons) daemon.child.kill('SIGTERM');
  for (const daemon of daemons) {
    expect((await daemon.ended).code).toBe(0);
    expect(daemon.said()).not.toMatch(/unhandled/i);
  }
  expect(vendor.stats().worstSecond).toBeLessThanOrEqual(mostInASecond);
});
