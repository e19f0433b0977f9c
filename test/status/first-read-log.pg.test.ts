import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { addActivity } from '../../db/queries/activity.ts';
import { createLogger } from '../../src/log.ts';
import { createScrubber } from '../../src/scrubber.ts';
import { createFirstReadLog } from '../../src/status/first-read-log.ts';
import { formatStatus } from '../../src/status/format-status.ts';
import { readStats } from '../../src/status/read-stats.ts';
import { readStatus } from '../../src/status/read-status.ts';
import { createWorld, testApp } from '../support/world.ts';

test('the first read of all accounts is in the log with rate and time left until it is done, and in status', async () => {
  await using world = await createWorld();
  const ids = Array.from({ length: 150 }, (_, index) => `user-${String(index).padStart(3, '0')}`);
  await world.addAccounts(...ids);
  // Half a minute ago; the newest seconds are not complete yet.
  await world.db.updateTable('mirror.app').set({ dispatched_at: new Date() }).execute();
  await addActivity(world.db, [
    { appId: testApp.appId, event: 'call', count: 1, at: Date.now() - 66_000 },
    { appId: testApp.appId, event: 'first_read', count: 300, at: Date.now() - 30_000 },
  ]);
  const lines: Record<string, unknown>[] = [];
  const destination = new Writable({
    write(chunk, _encoding, done) {
      lines.push(JSON.parse(String(chunk)));
      done();
    },
  });
  // As old as they may be: what is reported comes from the status.
  const old = await readStats(world.db, Date.now);
  const report = createFirstReadLog({
    figures: { get: async () => old, latest: () => undefined },
    status: { get: () => readStatus(world.db), latest: () => undefined },
    log: createLogger({ level: 'info', scrubber: createScrubber(), destination }),
  });

  await report();
  expect(lines).toMatchObject([
    {
      app: testApp.appId,
      left: 150,
      perSecond: 5,
      secondsLeft: 30,
      msg: 'first read of all accounts: 150 accounts to go, 5.0/s, 30 s left',
    },
  ]);
  const status = await readStatus(world.db);
  expect(status.apps[0]?.firstRead).toEqual({ left: 150, underWay: true, perSecond: 5, secondsLeft: 30 });
  expect(formatStatus(status)).toMatch(/first read {2}150 accounts to go, 5\.0\/s, 30 s left/);

  await world.db
    .updateTable('mirror.poll_state')
    .set({ status: 'active' })
    .where('account_key', 'in', (keys) => keys.selectFrom('mirror.account').select('account_key').limit(40))
    .execute();
  await report();
  expect(lines.pop()).toMatchObject({ left: 110, msg: expect.stringContaining('110 accounts to go') });

  await world.db.updateTable('mirror.poll_state').set({ status: 'active' }).execute();
  await report();
  await report();
  expect(lines.slice(1)).toMatchObject([{ accounts: 150, msg: 'first read of all accounts: done' }]);
});

test('the rate of an app that has just begun counts from its begin, and is not known before that can be said', async () => {
  await using world = await createWorld();
  await world.addAccounts('ann', 'bob');
  await world.db.updateTable('mirror.app').set({ dispatched_at: new Date() }).execute();
  const firstRead = async () => formatStatus(await readStatus(world.db)).match(/first read {2}(.*)/)?.[1];
  expect(await firstRead()).toBe('2 accounts to go, how long is not known yet');
  await addActivity(world.db, [
    { appId: testApp.appId, event: 'first_read', count: 40, at: Date.now() - 16_000 },
  ]);
  // One or two whole buckets of ten seconds.
  expect(await firstRead()).toMatch(/^2 accounts to go, [24]\.0\/s, (0\.5|1\.0) s left$/);
  await world.db
    .updateTable('mirror.app')
    .set({ dispatched_at: new Date(0) })
    .execute();
  expect(await firstRead()).toBe('2 accounts to go, nothing is read at present');
});
