import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLogger } from '../../src/log.ts';
import { createScrubber } from '../../src/scrubber.ts';
import { assertPostgresQueues, createPostgresQueues, makeQueues } from '../../workers/queues.ts';
import { daemonEnvironment, runCommand } from '../support/daemon.ts';
import { waitFor } from '../support/wait-for.ts';
import { createWorld, type World } from '../support/world.ts';

let world: World;

beforeAll(async () => {
  world = await createWorld();
  await sql`drop schema bullmq cascade`.execute(world.db);
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

const environment = (redisUrl = '') =>
  daemonEnvironment({ vendor: world.vendor, databaseUrl: world.database.url, redisUrl });

test('a worker whose queue is not there leaves the process time, and can be closed', async () => {
  const log = createLogger({ level: 'silent', scrubber: createScrubber() });
  const queues = createPostgresQueues(world.database.url, 1, {
    installationId: 'x',
    onForeignJob: () => undefined,
    log,
  });
  queues.work('poll', { appId: 1, concurrency: 4, process: async () => undefined });
  const before = process.cpuUsage();
  for (let turn = 0; turn < 20; turn += 1) await sleep(50);
  const { user, system } = process.cpuUsage(before);
  expect((user + system) / 1000).toBeLessThan(500);
  await queues.close();
});

test('start without REDIS_URL refuses a database without the queues, and migrate with REDIS_URL makes them', async () => {
  const { code, stderr } = await runCommand(['start'], environment()).ended;
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: expect.stringContaining('REDIS_URL is not set, and the database lacks the queues'),
  });
  expect((await runCommand(['migrate'], environment('redis://127.0.0.1:1')).ended).code).toBe(0);
  await assertPostgresQueues(world.database.url);
});

test('options in DATABASE_URL, which Neon’s URLs have, take nothing from the queues', async () => {
  const url = new URL(world.database.url);
  url.searchParams.set('options', '-c search_path=public -c statement_timeout=7000');
  const queues = createPostgresQueues(url.href, 1, {
    installationId: 'x',
    onForeignJob: () => undefined,
    log: createLogger({ level: 'silent', scrubber: createScrubber() }),
  });
  const polls = queues.open('poll', 1);
  await polls.add([{ claimedAt: 0, probe: false, accounts: [] }]);
  expect(await polls.countUnfinished()).toBe(1);
  let polled = false;
  queues.work('poll', {
    appId: 1,
    concurrency: 1,
    async process() {
      polled = true;
    },
  });
  await waitFor('the job to be done', () => polled);
  await queues.close();
});

test('a session that still believes that the queues are not there finds that another has just made them', async () => {
  const drop = () => sql`drop schema if exists bullmq cascade`.execute(world.db);
  await using other = await createClient();
  await using session = await createClient();
  // BullMQ's own: “BULL”.
  const lock = `select pg_advisory_xact_lock(${0x42554c4c}, hashtext('bullmq'))`;
  // What a pooler's session has done before: it knows these statements, and that there is no such schema.
  await drop();
  for (const statement of ['begin', lock, 'create schema if not exists bullmq', 'rollback'])
    await session.client.query(statement);
  await session.client.query("select to_regclass('bullmq.migration')");

  await other.client.query('begin');
  await other.client.query(lock);
  const made = makeQueues(session.client);
  await waitFor('the session to wait for the lock', async () => {
    const { rows } = await sql`
      select from pg_locks
      where locktype = 'advisory' and not granted
        and database = (select oid from pg_database where datname = current_database())
    `.execute(world.db);
    return rows.length > 0;
  });
  await other.client.query('create schema bullmq');
  await other.client.query('commit');
  await made;
  await assertPostgresQueues(world.database.url);
});

async function createClient() {
  const client = new pg.Client({ connectionString: world.database.url });
  await client.connect();
  return { client, [Symbol.asyncDispose]: () => client.end() };
}
