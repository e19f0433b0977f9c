import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { readApps } from '../../db/queries/apps.ts';
import { startTestDaemon } from '../support/daemon.ts';
import { waitFor } from '../support/wait-for.ts';
import { createWorld } from '../support/world.ts';

test('of 500 accounts that are polled all the time, and that suddenly come back empty, no row is lost', async () => {
  await using world = await createWorld({ callsPerSecond: 200 });
  const { vendor, db } = world;
  const ids = Array.from({ length: 500 }, (_, index) => `user-${index}`);
  await world.addAccounts(...ids);
  for (const id of ids) vendor.truth.change(id, { kind: 'add_group', group: '家人', members: ['x', 'y'] });
  // Between two answers that remove lie 4 s at least: time for 25 accounts, which is what holds removals, to be read
  // on a machine that makes seven polls a second.
  await using running = await startTestDaemon({
    vendor,
    databaseUrl: world.database.url,
    confirmRemovalAfterMs: 8000,
  });
  const rows = async () =>
    (await sql<{ count: number }>`select count(*) from tim.friend_group_members`.execute(db)).rows[0]?.count;
  await waitFor('the first reads', async () => (await rows()) === 1000, 60_000);

  for (const id of ids) vendor.truth.change(id, { kind: 'add_members', group: '家人', members: ['z'] });
  vendor.setFaults([{ kind: 'empty', probability: 1 }]);
  const hold = await waitFor('removals to be held', async () => (await readApps(db))[0]?.hold, 60_000);
  expect(hold.read).toBeLessThanOrEqual(500);
  const calls = vendor.stats().calls;
  await waitFor(
    'every account to be polled again, after its second answer would have been believed',
    () => vendor.stats().calls > calls + 4 * ids.length,
    60_000,
  );
  expect(await rows()).toBeGreaterThanOrEqual(1000);
  const { rows: removals } = await sql`select from tim.changes where kind like '%removed'`.execute(db);
  expect(removals).toHaveLength(0);
  expect(running.logLines().filter((line) => line.includes('removals held'))).toHaveLength(1);
});
