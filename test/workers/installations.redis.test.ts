import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { migrate } from '../../db/migrate.ts';
import { settleInstallation } from '../../db/queries/installation.ts';
import { silentLogger } from '../../src/log.ts';
import { connectRedis } from '../../src/redis/redis-connections.ts';
import { createIdentityWatch } from '../../workers/identity-watch.ts';
import {
  createPostgresQueues,
  createRedisQueues,
  type Queues,
  type QueuesOptions,
} from '../../workers/queues.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createTestRedis, type TestRedis } from '../support/redis.ts';
import { waitFor } from '../support/wait-for.ts';

const appId = 1_400_000_000;
let redis: TestRedis;
let client: Redis;
let database: TestDatabase;

beforeAll(async () => {
  redis = await createTestRedis();
  client = new Redis(redis.url);
  database = await createTestDatabase();
});

afterAll(async () => {
  client?.disconnect();
  await redis?.[Symbol.asyncDispose]();
  await database?.[Symbol.asyncDispose]();
});

/** Queues of an installation, what their worker was given, and what it refused. */
async function openQueues(backend: 'redis' | 'postgres', installationId: string) {
  const refused: string[] = [];
  const options: QueuesOptions = {
    installationId,
    onForeignJob: (kind, app) => refused.push(`${kind} ${app}`),
    log: silentLogger(),
  };
  const connections =
    backend === 'redis'
      ? await connectRedis({ kind: 'single', url: redis.url }, [appId], silentLogger())
      : undefined;
  const queues: Queues =
    connections === undefined
      ? createPostgresQueues(database.url, 2, options)
      : createRedisQueues(connections, options);
  return {
    queues,
    refused,
    async [Symbol.asyncDispose]() {
      await queues.close();
      connections?.close();
    },
  };
}

describe('the queues of an installation', () => {
  test('on Redis hold no job of another one’s, for the same app', async () => {
    await using one = await openQueues('redis', randomUUID());
    await using other = await openQueues('redis', randomUUID());
    const done: string[] = [];
    one.queues.work('poll', {
      appId,
      concurrency: 1,
      process: async (data) => void done.push(JSON.stringify(data)),
    });
    await other.queues.open('poll', appId).add([{ from: 'other' }]);
    await one.queues.open('poll', appId).add([{ from: 'one' }]);
    await waitFor('the job of one’s own', () => done.length > 0);
    expect(done).toEqual([expect.stringContaining('"from":"one"')]);
    expect(await other.queues.open('poll', appId).countUnfinished()).toBe(1);
  });

  test('refuse a job of another one’s that is in them all the same, as in a restored database, and say so', async () => {
    const id = randomUUID();
    await using one = await openQueues('postgres', id);
    await using former = await openQueues('postgres', randomUUID());
    await former.queues.open('poll', appId).add([{ accounts: [] }, {}]);
    await one.queues.open('poll', appId).add([{ mine: true }]);
    const done: unknown[] = [];
    one.queues.work('poll', { appId, concurrency: 1, process: async (data) => void done.push(data) });
    await waitFor('the job of one’s own', () => done.length > 0);
    expect(one.refused).toEqual(Array(2).fill(`poll ${appId}`));
    expect(done).toEqual([{ mine: true, installation: id }]);
  });

  test('in a restored database go on with schedules of their own', async () => {
    const schedule = async (installationId: string) => {
      await using opened = await openQueues('postgres', installationId);
      const ticks: unknown[] = [];
      await opened.queues.open('maintenance').schedule(200, false);
      opened.queues.work('maintenance', { concurrency: 1, process: async (data) => void ticks.push(data) });
      await waitFor('a tick', () => ticks.length > 0);
      return ticks[0];
    };
    const [before, after] = [randomUUID(), randomUUID()];
    expect(await schedule(before)).toEqual({ installation: before });
    expect(await schedule(after)).toEqual({ installation: after });
  });
});

describe('the identity of an installation', () => {
  test('is kept, from however many processes it is asked for, and is another in a copy of the database', async () => {
    const identities = await Promise.all(Array.from({ length: 5 }, () => settleInstallation(database.db)));
    // The database is a copy of the template of all tests.
    expect(new Set(identities.map(({ id }) => id)).size).toBe(1);
    expect(identities.filter(({ renewed }) => renewed)).toHaveLength(1);
    expect(await settleInstallation(database.db)).toEqual({ id: identities[0]?.id, renewed: false });
    await using copy = await createTestDatabase();
    expect((await settleInstallation(copy.db)).id).not.toBe(identities[0]?.id);
  });

  test('reports a mirror that comes from another server, whose feed then goes on from higher numbers though it is empty', async () => {
    await using moved = await createTestDatabase();
    expect((await migrate(moved.db)).jump).toBeUndefined();
    await sql`update mirror.installation set place = '7000000000000000001/16384'`.execute(moved.db);
    expect((await migrate(moved.db)).jump).toMatchObject({ from: null, to: String(2 ** 40) });
    expect((await migrate(moved.db)).jump).toBeUndefined();
  });

  test('is given up by the copy of a disk that finds the original at work', async () => {
    await using copy = await createTestDatabase();
    const { id } = await settleInstallation(database.db);
    // What no statement can distinguish from the original.
    await sql`update mirror.installation set installation_id = ${id}`.execute(copy.db);
    const watchOf = ({ db }: TestDatabase) =>
      createIdentityWatch({ db, redis: client, installationId: id, everyMs: 10 });
    const [original, second, copied] = [watchOf(database), watchOf(database), watchOf(copy)];
    for (let round = 0; round < 3; round += 1) for (const watch of [original, second]) await watch.look();
    await copied.look();
    await original.look();
    await expect(copied.look()).rejects.toThrow(/it has a new identity|has a new identity now/);
    for (const watch of [original, second]) await watch.look();
    expect((await settleInstallation(database.db)).id).toBe(id);
    const renewed = await settleInstallation(copy.db);
    expect(renewed.id).not.toBe(id);
    // Another process of the copy's learns of it too.
    await expect(watchOf(copy).look()).rejects.toThrow(/start it again/);
    await createIdentityWatch({ db: copy.db, redis: client, installationId: renewed.id }).look();
  });

  test('is kept when a fail-over has lost the last seconds', async () => {
    await using lagging = await createTestDatabase();
    const { id } = await settleInstallation(lagging.db);
    const watch = createIdentityWatch({ db: lagging.db, redis: client, installationId: id, everyMs: 10 });
    for (let round = 0; round < 5; round += 1) await watch.look();
    await sql`update mirror.installation set beat = beat - 3`.execute(lagging.db);
    for (let round = 0; round < 6; round += 1) await watch.lookTwice();
    expect((await settleInstallation(lagging.db)).id).toBe(id);
  });
});
