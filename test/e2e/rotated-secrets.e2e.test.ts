import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { startRedis } from '../../dev/local-servers/redis.ts';
import { type Command, daemonEnvironment, runCommand } from '../support/daemon.ts';
import { endCommands, untilRunning } from '../support/daemon-command.ts';
import { populateWorld } from '../support/mirroring.ts';
import { waitFor } from '../support/wait-for.ts';
import { createWorld, testApp, type World } from '../support/world.ts';

/** Files that hold secrets, each replaced in one step as Kubernetes does. */
async function createSecretFiles() {
  const folder = await mkdtemp(join(tmpdir(), 'secrets-'));
  return {
    pathOf: (name: string) => join(folder, name),
    async write(name: string, text: string) {
      await writeFile(join(folder, `${name}.new`), `${text}\n`);
      await rename(join(folder, `${name}.new`), join(folder, name));
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

/** Resolves once accounts have been proved that were asked for after this moment. */
async function untilPolledAgain({ db, vendor }: World, daemon: Command): Promise<void> {
  const { rows } = await sql<{ now: Date }>`select clock_timestamp() as now`.execute(db);
  const { calls } = vendor.stats();
  await waitFor(
    'accounts to be proved again',
    async () => {
      if (daemon.child.exitCode !== null) throw new Error(daemon.said());
      const proved = await sql<{ n: number }>`
        select count(*) as n from mirror.poll_state where verified_at > ${rows[0]?.now}
      `.execute(db);
      return vendor.stats().calls > calls && (proved.rows[0]?.n ?? 0) > 10;
    },
    90_000,
  );
}

test.each(['with Redis', 'without Redis'])(
  'a daemon %s takes passwords and keys from their files again when they have been replaced',
  async (mode) => {
    await using world = await createWorld({ callsPerSecond: 200 });
    await using files = await createSecretFiles();
    const { db, vendor } = world;
    await populateWorld(world);
    const role = `rotated_${mode === 'with Redis' ? 'with' : 'without'}`;
    const urlWith = (password: string) =>
      Object.assign(new URL(world.database.url), { username: role, password }).href;
    await sql`create role ${sql.id(role)} superuser login password 'first-password-1'`.execute(db);
    const server = mode === 'with Redis' ? await startRedis({ say: () => undefined }) : undefined;
    const redis = server === undefined ? undefined : new Redis(server.url);
    const redisUrlWith = (password: string) => Object.assign(new URL(server?.url ?? ''), { password }).href;
    try {
      await redis?.config('SET', 'requirepass', 'first-redis-1');
      await files.write('database', urlWith('first-password-1'));
      if (server !== undefined) await files.write('redis', redisUrlWith('first-redis-1'));
      await files.write('key', testApp.secretKey);
      const environment = daemonEnvironment({
        vendor,
        databaseUrl: '',
        env: {
          DATABASE_URL_FILE: files.pathOf('database'),
          TIM_SECRET_KEY: '',
          TIM_SECRET_KEY_FILE: files.pathOf('key'),
          ...(server === undefined ? {} : { REDIS_URL_FILE: files.pathOf('redis') }),
        },
      });
      const daemon = runCommand(['start'], environment);
      await untilRunning(daemon);
      await untilPolledAgain(world, daemon);

      await sql`alter role ${sql.id(role)} password 'second-password-2'`.execute(db);
      await files.write('database', urlWith('second-password-2'));
      await sql`select pg_terminate_backend(pid) from pg_stat_activity where usename = ${role}`.execute(db);
      await untilPolledAgain(world, daemon);

      if (redis !== undefined) {
        await redis.config('SET', 'requirepass', 'second-redis-2');
        await files.write('redis', redisUrlWith('second-redis-2'));
        await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
        await untilPolledAgain(world, daemon);
      }

      vendor.setSecretKey('the-key-that-replaces-the-first');
      await waitFor('the halt', async () => {
        const app = await db.selectFrom('mirror.app').select('halted_at').executeTakeFirstOrThrow();
        return app.halted_at !== null;
      });
      // Half of the way there is nothing: the old key is used, and nothing breaks.
      await files.write('key', '');
      await waitFor('a word about the file', () => daemon.said().includes('can’t be read again'), 90_000);
      await files.write('key', 'the-key-that-replaces-the-first');
      await untilPolledAgain(world, daemon);

      expect(await endCommands(daemon)).toEqual([0]);
      for (const secret of ['password-1', 'password-2', 'redis-1', 'redis-2', 'replaces-the-first'])
        expect(daemon.said()).not.toContain(secret);
    } finally {
      redis?.disconnect();
      await server?.stop();
      await sql`select pg_terminate_backend(pid) from pg_stat_activity where usename = ${role}`.execute(db);
      await sql`reassign owned by ${sql.id(role)} to current_user`.execute(db);
      await sql`drop role ${sql.id(role)}`.execute(db);
    }
  },
);
