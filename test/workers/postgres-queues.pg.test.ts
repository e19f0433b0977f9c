import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLogger } from '../../src/log.ts';
import { createScrubber } from '../../src/scrubber.ts';
import { assertPostgresQueues, createPostgresQueues } from '../../workers/queues.ts';
import { daemonEnvironment, runCommand } from '../support/daemon.ts';
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
