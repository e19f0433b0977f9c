import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { requestPoll } from '../../db/queries/accounts.ts';
import { readStatus } from '../../src/status/read-status.ts';
import { startTestDaemon } from '../support/daemon.ts';
import { expectMirrorIsTruth } from '../support/mirroring.ts';
import { waitFor } from '../support/wait-for.ts';
import { createWorld, testApp } from '../support/world.ts';

test('a daemon whose writes Postgres refuses says so once, counts them by class, and sets aside only whom they hit', async () => {
  await using world = await createWorld({ callsPerSecond: 200 });
  const { vendor, db } = world;
  const ids = Array.from({ length: 12 }, (_, index) => `user-${index}`);
  await world.addAccounts(...ids);
  for (const id of ids) vendor.truth.change(id, { kind: 'add_group', group: 'a', members: ['x', 'y', 'z'] });
  await using running = await startTestDaemon({ vendor, databaseUrl: world.database.url });
  const statusNow = async () => (await readStatus(db)).apps[0];
  await waitFor('first reads', async () => (await statusNow())?.accounts.active === ids.length, 60_000);

  await sql
    .raw(`
      alter table mirror.friend_group_member drop constraint friend_group_member_pkey;
      create publication everything for all tables;
    `)
    .execute(db);
  const hit = ids.slice(0, 2);
  for (const id of hit) vendor.truth.change(id, { kind: 'remove_members', group: 'a', members: ['x'] });
  const status = await waitFor(
    'the accounts to be set aside',
    async () => {
      // As if they had waited.
      await requestPoll(db, testApp.appId, hit);
      const app = await statusNow();
      return app?.accounts.quarantined === hit.length && app.refusedWrites.length > 0 ? app : undefined;
    },
    120_000,
  );
  expect(status.refusedWrites).toMatchObject([{ sqlstate: '55' }]);
  expect(status.failures).toMatchObject([
    {
      outcome: 'quarantined',
      accounts: hit.length,
      message: expect.stringContaining('55000: cannot update'),
    },
  ]);
  expect(status.accounts.active).toBe(ids.length - hit.length);
  const metrics = await (await fetch(`${running.daemon.http.url}/metrics`)).text();
  expect(metrics).toMatch(
    new RegExp(`^tim_mirror_refused_writes_total\\{app="${testApp.appId}",sqlstate="55"\\} \\d+$`, 'm'),
  );
  const warnings = running.logLines().filter((line) => line.includes('postgres refuses writes'));
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toContain('"level":"warn"');

  await sql`drop publication everything`.execute(db);
  await requestPoll(db, testApp.appId, hit);
  await expectMirrorIsTruth(world);
});
