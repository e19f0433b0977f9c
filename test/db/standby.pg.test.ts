import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { connect, type Database } from '../../db/client.ts';
import { migrate } from '../../db/migrate.ts';
import { type FeedStart, findFeedStart, readFeed } from '../../db/queries/changes.ts';
import { startPostgres } from '../../dev/local-servers/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

/** A primary and a physical standby of it, made from a copy of its folder. */
async function createStandby() {
  const folders = [0, 1].map(() => mkdtempSync(join(tmpdir(), 'tim-mirror-standby-')));
  const [first = '', second = ''] = folders;
  const made = await startPostgres({ folder: first, durable: false });
  await made.stop();
  execFileSync('cp', ['-a', `${first}/data`, `${first}/password`, second]);
  const primary = await startPostgres({ folder: first, durable: false });
  const { hostname, port, username, password } = new URL(primary.url());
  const conninfo = `host=${hostname} port=${port} user=${username} password=${password}`;
  appendFileSync(join(second, 'data/postgresql.auto.conf'), `primary_conninfo = '${conninfo}'\n`);
  writeFileSync(join(second, 'data/standby.signal'), '');
  const standby = await startPostgres({ folder: second, durable: false });
  const open = (url: string) => connect({ url, applicationName: 'test', onIdleError: () => undefined });
  const [db, replica] = [open(primary.url()), open(standby.url())];
  return {
    db,
    replica,
    async [Symbol.asyncDispose]() {
      await Promise.all([db.destroy(), replica.destroy()]);
      await standby.stop();
      await primary.stop();
      for (const folder of folders) rmSync(folder, { recursive: true, force: true });
    },
  };
}

const insert = (db: Database, group: string) =>
  sql`
    insert into mirror.change (app_id, account_key, kind, group_name, observed_at)
    values (1, 1, 'group_added', ${group}, now())
  `.execute(db);

/** What a consumer reads that keeps to the rule of the feed. */
async function readByTheRule(db: Database): Promise<readonly string[]> {
  const { rows } = await sql<{ group_name: string }>`
    select group_name from tim.changes where tx_id < tim.feed_horizon() order by tx_id, change_id
  `.execute(db);
  return rows.map((row) => row.group_name);
}

/** Waits until the standby has replayed all that the primary has written so far. */
async function catchUp(db: Database, replica: Database): Promise<void> {
  const { rows } = await sql<{ at: string }>`select pg_current_wal_insert_lsn()::text as at`.execute(db);
  await waitFor('the standby to catch up', async () => {
    const { rows: replayed } = await sql<{ there: boolean }>`
      select pg_last_wal_replay_lsn() >= ${rows[0]?.at}::pg_lsn as there
    `.execute(replica);
    return replayed[0]?.there;
  });
}

test('a consumer of the feed that reads a standby misses nothing either, in whatever order transactions end', async () => {
  await using servers = await createStandby();
  const { db, replica } = servers;
  await migrate(db);
  await insert(db, 'before');
  const filter = { appId: 1, accountId: undefined };
  let start: FeedStart | undefined;
  await db.transaction().execute(async (early) => {
    await insert(early, 'early, ends late');
    await insert(db, 'late, ends early');
    await catchUp(db, replica);
    const { rows } = await sql<{ count: number }>`select count(*) from tim.changes`.execute(replica);
    expect(rows).toEqual([{ count: 2 }]);
    expect(await readByTheRule(replica)).toEqual(['before']);
    start = await findFeedStart(replica, filter, 0);
  });
  await catchUp(db, replica);
  expect(await readByTheRule(replica)).toEqual(['before', 'early, ends late', 'late, ends early']);
  if (start === undefined) throw new Error('no start');
  // One that begins to read while a transaction is under way gets it when it ends.
  const page = { start, after: start, limit: 10, finished: true };
  expect((await readFeed(replica, filter, page)).map((line) => line.groupName)).toEqual([
    'early, ends late',
    'late, ends early',
  ]);
  expect((await sql`select * from tim.freshness`.execute(replica)).rows).toEqual([]);
});
