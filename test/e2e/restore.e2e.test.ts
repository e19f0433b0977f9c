import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { sql } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { connect, type Database } from '../../db/client.ts';
import { enrolAccounts } from '../../db/queries/accounts.ts';
import { ensureApp } from '../../db/queries/apps.ts';
import { type LocalPostgres, startPostgres } from '../../dev/local-servers/postgres.ts';
import { populate } from '../../src/simulator/population.ts';
import { daemonEnvironment, runCommand, startTestDaemon } from '../support/daemon.ts';
import { labelledSql, readDocument } from '../support/documents.ts';
import { expectMirrorIsTruth, keepChanging } from '../support/mirroring.ts';
import { currentRows, replayFeed, rowsAt } from '../support/replay.ts';
import { waitFor } from '../support/wait-for.ts';
import { createWorld, testApp, type World } from '../support/world.ts';

const programs = inject('postgresPrograms');
const program = (name: string) => join(programs, name);
const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), 'tim-mirror-restore-'));
const dump = join(folder, 'tim.dump');

let world: World;
let former: LocalPostgres;
let newer: LocalPostgres;

const open = (url: string) => connect({ url, applicationName: 'test', onIdleError: () => undefined });
const startServer = () =>
  startPostgres({
    durable: false,
    binaries: { initdb: program('initdb'), postgres: program('postgres') },
  });
const environment = (databaseUrl: string) => daemonEnvironment({ vendor: world.vendor, databaseUrl });
const startDaemon = (databaseUrl: string) => startTestDaemon({ vendor: world.vendor, databaseUrl });

async function command(databaseUrl: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runCommand(args, environment(databaseUrl)).ended;
  expect({ args, code, stderr }).toMatchObject({ args, code: 0 });
  return stdout;
}

/** A consumer that reads the feed as docs/analysts.md says, and remembers the last line. */
function createConsumer() {
  const text = labelledSql(readDocument('docs/analysts.md'), 'feed');
  const lines: string[] = [];
  let place = { tx_id: '0', change_id: '0' };
  return {
    lines,
    /** Reads to the end of what can be read. */
    async readOn(url: string): Promise<void> {
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      try {
        for (;;) {
          const { rows } = await client.query(text, [place.tx_id, place.change_id]);
          lines.push(...rows.map((row) => `${row.tx_id} ${row.change_id}`));
          const last = rows.at(-1);
          if (last === undefined) return;
          place = last;
        }
      } finally {
        await client.end();
      }
    },
  };
}

/** All lines of the feed in its order, as a consumer notes them. */
async function feed(db: Database): Promise<readonly string[]> {
  const { rows } = await sql<{ line: string }>`
    select tx_id || ' ' || change_id as line from tim.changes order by tx_id, change_id
  `.execute(db);
  return rows.map(({ line }) => line);
}

async function changesIn(db: Database): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count(*) from mirror.change`.execute(db);
  return rows[0]?.count ?? 0;
}

describe.skipIf(programs === '')('a mirror dumped by pg_dump and restored into another server', () => {
  beforeAll(async () => {
    world = await createWorld({ callsPerSecond: 200 });
    [former, newer] = await Promise.all([startServer(), startServer()]);
  });

  afterAll(async () => {
    await former?.stop();
    await newer?.stop();
    await world?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  test('goes on: no consumer misses a line, and none sees one twice', async () => {
    const ids = populate(world.vendor.truth, 80, world.random);
    const consumer = createConsumer();
    await command(former.url(), 'migrate');
    const db = open(former.url());
    // The former server has given more numbers than the newer one will give in this test.
    await sql
      .raw('do $$ begin for i in 1..50000 loop perform pg_current_xact_id(); commit; end loop; end $$')
      .execute(db);
    await ensureApp(db, testApp);
    await enrolAccounts(db, testApp.appId, ids);
    await using daemon = await startDaemon(former.url());
    const changes = keepChanging(world, ids, 20);
    await waitFor('the mirror to be filled', async () => (await changesIn(db)) > 500, 90_000);
    await consumer.readOn(former.url());
    expect(consumer.lines.length).toBeGreaterThan(0);
    const before = await changesIn(db);
    await waitFor('changes that the consumer has not read', async () => (await changesIn(db)) > before);
    // As docs/operations.md has it, while the daemon writes.
    await run(program('pg_dump'), ['--format=custom', `--file=${dump}`, `--dbname=${former.url()}`]);
    await daemon.daemon.stop();
    await db.destroy();

    await run(program('pg_restore'), [
      ...['--no-owner', '--no-privileges', '--exit-on-error'],
      ...[`--dbname=${newer.url()}`, dump],
    ]);
    await expectStartToRepair();
    const said = await command(newer.url(), 'migrate');
    expect(said).toMatch(/nothing to do\nThe change feed’s numbers go on from 1099511627776, because/);
    expect(await command(newer.url(), 'migrate')).toMatch(/nothing to do\n$/);

    const restored = open(newer.url());
    await sql`create role analyst login password 'analyst' in role tim_reader`.execute(restored);
    const asAnalyst = new URL(newer.url());
    asAnalyst.username = 'analyst';
    asAnalyst.password = 'analyst';
    await using second = await startDaemon(newer.url());
    const inDump = await changesIn(restored);
    await waitFor('changes of the restored mirror', async () => (await changesIn(restored)) > inDump, 90_000);
    await consumer.readOn(asAnalyst.href);
    changes.stop();
    await expectMirrorIsTruth({ db: restored, vendor: world.vendor });
    await second.daemon.stop();
    await consumer.readOn(asAnalyst.href);

    expect(consumer.lines).toEqual(await feed(restored));
    expect(new Set(consumer.lines).size).toBe(consumer.lines.length);
    const rows = await currentRows(restored);
    expect(await replayFeed(restored)).toEqual(rows);
    expect(await rowsAt(restored, 'infinity')).toEqual(rows);
    await restored.destroy();
  }, 300_000);

  /** A daemon that starts without a `migrate` before it repairs the numbers too; in a copy, so that both are tried. */
  async function expectStartToRepair(): Promise<void> {
    const maintenance = new pg.Client({ connectionString: newer.url('template1') });
    await maintenance.connect();
    await maintenance.query('create database copy template postgres');
    await maintenance.end();
    await using daemon = await startDaemon(newer.url('copy'));
    expect(daemon.logLines().join('\n')).toContain('The change feed’s numbers go on from 1099511627776');
    await daemon.daemon.stop();
  }
});
