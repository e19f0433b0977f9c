import { sql } from 'kysely';
import { describe, expect, inject, test } from 'vitest';
import { assertOwnSession } from '../../db/pooler.ts';
import { daemonEnvironment, runCommand } from '../support/daemon.ts';
import { createTestDatabase } from '../support/database.ts';
import { expectMirrorIsTruth } from '../support/mirroring.ts';
import { startPgBouncer } from '../support/pgbouncer.ts';
import { createTestRedis } from '../support/redis.ts';
import { alike, createSeveralApps } from '../support/several-apps.ts';
import { waitFor } from '../support/wait-for.ts';

const program = inject('pgBouncer');

const start = (databaseUrl: string, mode: 'transaction' | 'session' = 'transaction') =>
  startPgBouncer({ program, databaseUrl, mode, connections: 3 });

describe.skipIf(program === '')(
  'behind PgBouncer in transaction mode, with three connections to Postgres',
  () => {
    test('migrate and the commands work, and migrating twice does no harm', async () => {
      await using database = await createTestDatabase({ migrated: false, hostile: false });
      await using pooler = await start(database.url);
      const env = {
        DATABASE_URL: pooler.through(database.url),
        TIM_SDK_APP_ID: '1400000000',
        REDIS_URL: 'redis://127.0.0.1:1',
      };
      const run = async (...args: string[]) => {
        const { code, stdout, stderr } = await runCommand(args, env).ended;
        expect({ args, code, stderr }).toEqual({
          args,
          code: 0,
          stderr: expect.not.stringMatching(/tim-mirror:/),
        });
        return stdout;
      };
      const both = await Promise.all([run('migrate'), run('migrate')]);
      expect(both.filter((said) => said.includes('nothing to do'))).toHaveLength(1);
      await run('accounts', 'add', 'alice', 'bob');
      await run('accounts', 'remove', 'bob', '--purge');
      expect(await run('status')).toMatch(/accounts +1\b/);
      expect(JSON.parse(await run('explain', 'alice', '--json'))).toMatchObject({
        account: { accountId: 'alice' },
      });
      await run('groups', 'alice');
      await run('changes');
    });

    test('where Postgres has settings that a statement would misread, a command says which and what to run', async () => {
      await using database = await createTestDatabase();
      await using pooler = await start(database.url);
      const env = { DATABASE_URL: pooler.through(database.url), TIM_SDK_APP_ID: '1400000000' };
      expect(await runCommand(['status'], env).ended).toMatchObject({
        code: 1,
        stdout: '',
        stderr: expect.stringMatching(
          /^tim-mirror: Behind the connection pooler \w+ is “.*”, and it must be “.*”; run: alter role .*\n$/,
        ),
      });
    });

    test('where others may make functions in a schema of the search path, a command says which and what to run', async () => {
      await using database = await createTestDatabase({ hostile: false });
      const role = 'pooled_analyst';
      await sql`do $$ begin create role pooled_analyst; exception when duplicate_object then null; end $$`.execute(
        database.db,
      );
      await sql.raw(`grant create on schema public to ${role}`).execute(database.db);
      await using pooler = await start(database.url);
      const status = (DATABASE_URL: string) =>
        runCommand(['status'], { DATABASE_URL, TIM_SDK_APP_ID: '1400000000' }).ended;
      expect(await status(pooler.through(database.url))).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(
          /^tim-mirror: Behind the connection pooler search_path names the schema public, .*; run: alter role .* set search_path = 'pg_catalog', .*\n$/,
        ),
      });
      expect(await status(database.url)).toMatchObject({ code: 0 });
      await sql.raw(`drop owned by ${role}`).execute(database.db);

      // The owner of a schema may make functions in it without any grant.
      await sql.raw(`create schema his authorization ${role}`).execute(database.db);
      const name = new URL(database.url).pathname.slice(1);
      await sql.raw(`alter database ${name} set search_path = his`).execute(database.db);
      await using other = await start(database.url);
      expect((await status(other.through(database.url))).stderr).toMatch(
        /names the schema his, in which others/,
      );
      await sql.raw(`drop owned by ${role}`).execute(database.db);
    });

    test.each([
      ['with Redis', true],
      ['without Redis', false],
    ])('a daemon %s mirrors, given Postgres itself for its lock and its queues', async (_, withRedis) => {
      await using redis = withRedis ? await createTestRedis() : { url: '', async [Symbol.asyncDispose]() {} };
      await using world = await createSeveralApps(alike(2, { accounts: 60, callsPerSecond: 100 }), {
        hostile: false,
      });
      await using pooler = await start(world.database.url);
      const daemon = await world.start({
        DATABASE_URL: pooler.through(world.database.url),
        DATABASE_DIRECT_URL: world.database.url,
        REDIS_URL: redis.url,
        HISTORY_RETENTION: '1d',
      });
      const changing = world.keepChanging(10);
      await waitFor('polls', () => world.apps.every(({ vendor }) => vendor.stats().calls > 150));
      changing.stop();
      await Promise.all(
        world.apps.map(({ vendor, appId }) => expectMirrorIsTruth({ db: world.database.db, vendor }, appId)),
      );
      const { rows } = await sql<{ pooled: number }>`
      select count(*)::integer as pooled from pg_stat_activity
      where datname = current_database() and application_name = 'tim-mirror'
    `.execute(world.database.db);
      expect(rows[0]?.pooled).toBeLessThanOrEqual(3 + 1);
      daemon.child.kill('SIGTERM');
      expect((await daemon.ended).code).toBe(0);
      expect(daemon.said()).not.toMatch(/prepared statement|"level":"error"/);
    });

    test('a daemon that does not know where Postgres itself is refuses to start, with a sentence that says what to set', async () => {
      await using world = await createSeveralApps(alike(1, { accounts: 1, callsPerSecond: 100 }), {
        hostile: false,
      });
      await using pooler = await start(world.database.url);
      const pooled = pooler.through(world.database.url);
      const [app] = world.apps;
      if (app === undefined) throw new Error('there is no app');
      const refusal = async (env: Record<string, string>) => {
        const all = daemonEnvironment({ vendor: app.vendor, databaseUrl: pooled, env });
        const { code, stderr } = await runCommand(['start'], all).ended;
        expect(code).toBe(1);
        return stderr;
      };
      expect(await refusal({})).toMatch(
        /^tim-mirror: A connection pooler .* set DATABASE_DIRECT_URL to Postgres itself.*\n$/,
      );
      expect(await refusal({ DATABASE_DIRECT_URL: pooled })).toMatch(
        /^tim-mirror: A connection pooler in transaction mode .*\n$/,
      );
      expect(await refusal({ DATABASE_DIRECT_URL: 'postgres://postgres@127.0.0.1:1/none' })).toMatch(
        /^tim-mirror: Postgres at 127\.0\.0\.1:1, database none, does not answer \(ECONNREFUSED\); check DATABASE_DIRECT_URL .*\n$/,
      );
    });
  },
);

describe.skipIf(program === '')('behind PgBouncer in session mode', () => {
  test('sessions hold, once the operator has said so', async () => {
    await using database = await createTestDatabase({ hostile: false });
    await using pooler = await start(database.url, 'session');
    const url = pooler.through(database.url);
    await expect(assertOwnSession({ url, isDirect: false })).rejects.toThrow(/DATABASE_DIRECT_URL/);
    await assertOwnSession({ url, isDirect: true });
  });
});
