import { readFileSync } from 'node:fs';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect, type Database } from '../../db/client.ts';
import { dropChangePartition, ensureChangePartitions, monthsAhead } from '../../db/queries/history.ts';
import { type LocalPostgres, startPostgres } from '../../dev/local-servers/postgres.ts';
import { findUnready } from '../../workers/readiness.ts';
import { daemonEnvironment, runCommand, startTestDaemon } from '../support/daemon.ts';
import { createTestRedis } from '../support/redis.ts';
import { waitFor } from '../support/wait-for.ts';
import { runWarm } from '../support/warm-command.ts';
import { createWorld } from '../support/world.ts';

/** The statements of docs/operations.md, as an administrator copies them. */
function documented(): string {
  const page = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
  const section = page.slice(page.indexOf('## Three roles of the database'));
  return /```sql\n([\s\S]*?)```/.exec(section)?.[1] ?? '';
}

let server: LocalPostgres;
let admin: Database;
let owner: Database;
let daemonUrl: string;

const open = (url: string) => connect({ url, applicationName: 'test', onIdleError: () => undefined });
const urlOf = (username: string, password: string) =>
  Object.assign(new URL(server.url('tim')), { username, password }).href;

async function runAll(db: Database, statements: string): Promise<void> {
  for (const statement of statements.split(';'))
    if (statement.trim() !== '') await sql.raw(statement).execute(db);
}

beforeAll(async () => {
  // A server of its own: roles belong to the whole server.
  server = await startPostgres({ durable: false });
  admin = open(server.url());
  await runAll(admin, documented());
  const ownerUrl = urlOf('tim_owner', 'password-of-the-owner');
  const migrated = await runCommand(['migrate', '--daemon-role', 'tim_daemon'], { DATABASE_URL: ownerUrl })
    .ended;
  expect(migrated).toMatchObject({ code: 0, stderr: '' });
  owner = open(ownerUrl);
  daemonUrl = urlOf('tim_daemon', 'password-of-the-daemon');
}, 60_000);

afterAll(async () => {
  await owner?.destroy();
  await admin?.destroy();
  await server?.stop();
});

test.each(['with Redis', 'without Redis'])(
  'the daemon’s role polls, writes and removes (%s)',
  async (mode) => {
    await using world = await createWorld({ callsPerSecond: 200 });
    await using redis = await createTestRedis();
    const { vendor } = world;
    const id = `alice ${mode}`;
    vendor.truth.addAccount(id);
    vendor.truth.change(id, { kind: 'add_group', group: 'family', members: ['bob', 'carol'] });
    const options = {
      vendor,
      databaseUrl: daemonUrl,
      ...(mode === 'with Redis' ? { redisUrl: redis.url } : {}),
    };
    const env = daemonEnvironment(options);
    const command = async (...args: string[]) => {
      const ended = await runWarm(args, env);
      expect([args, ended.code, ended.stderr]).toEqual([args, 0, '']);
      return ended.stdout;
    };
    await command('accounts', 'add', id);
    const db = open(daemonUrl);
    const daemon = await startTestDaemon(options);
    try {
      const members = async () =>
        (
          await sql<{
            n: number;
          }>`select count(*) as n from tim.friend_group_members where account_id = ${id}`.execute(db)
        ).rows[0]?.n;
      await waitFor('the members', async () => (await members()) === 2);
      vendor.truth.change(id, { kind: 'remove_members', group: 'family', members: ['carol'] });
      await waitFor('the removal', async () => (await members()) === 1);
      await command('status');
      await command('explain', id);
      await command('accounts', 'remove', id);
      const refused = daemon.logLines().filter((line) => /42501|permission denied|must be owner/.test(line));
      expect(refused).toEqual([]);
    } finally {
      await daemon[Symbol.asyncDispose]();
      await db.destroy();
    }
  },
);

test('the daemon’s role makes months of the feed and drops old ones, and nothing else of the kind', async () => {
  const db = open(daemonUrl);
  try {
    const months = async () =>
      (
        await sql<{ name: string }>`
        select relname as name from mirror.change_partitions() join pg_class on oid = partition order by ends
      `.execute(db)
      ).rows.map(({ name }) => name);
    const before = await months();
    await sql.raw(`drop table mirror.${before.at(-1)}`).execute(owner);
    expect(await ensureChangePartitions(db, monthsAhead)).toMatchObject({ made: 1, problems: [] });
    expect(await months()).toEqual(before);

    await sql`create table mirror.change_2020_01 (like mirror.change including defaults including constraints)`.execute(
      owner,
    );
    await sql`
      alter table mirror.change attach partition mirror.change_2020_01
      for values from ('2020-01-01Z') to ('2020-02-01Z')
    `.execute(owner);
    const old = { name: 'change_2020_01', state: 'attached' } as const;
    await owner.transaction().execute(async (reader) => {
      await sql`select from mirror.change limit 1`.execute(reader);
      expect(await dropChangePartition(db, old, 1000)).toBe(false);
    });
    expect(await dropChangePartition(db, old, 1000)).toBe(true);
    expect(await months()).toEqual(before);

    await expect(sql`select mirror.drop_change_month(${before.at(-1)})`.execute(db)).rejects.toThrow(
      /not over/,
    );
    await expect(sql`select mirror.drop_change_month('account')`.execute(db)).rejects.toThrow(/no month/);
    for (const statement of [
      'drop table mirror.account',
      'truncate mirror.change',
      'alter table mirror.app add column more integer',
      'create table mirror.more (n integer)',
      'drop view tim.accounts',
      `drop table mirror.${before.at(-1)}`,
    ])
      await expect(sql.raw(statement).execute(db)).rejects.toMatchObject({ code: '42501' });
  } finally {
    await db.destroy();
  }
});

test('a daemon without Redis whose role may not keep queues is not ready, and says what is missing', async () => {
  const db = open(daemonUrl);
  expect(await findUnready(db, undefined)).toEqual([]);
  await sql`revoke create on schema bullmq from tim_daemon`.execute(owner);
  expect(await findUnready(db, undefined)).toMatchObject([
    { part: 'postgres', cause: 'rights', sentence: expect.stringContaining('schema bullmq') },
  ]);
  await sql`grant create on schema bullmq to tim_daemon`.execute(owner);
  expect(await findUnready(db, undefined)).toEqual([]);
  await db.destroy();
});

test('migrate --daemon-role gives what is missing, also from several places at once, and changes nothing twice', async () => {
  const migrate = () =>
    runCommand(['migrate', '--daemon-role', 'tim_daemon'], {
      DATABASE_URL: urlOf('tim_owner', 'password-of-the-owner'),
    }).ended;
  await sql`revoke update on mirror.account from tim_daemon`.execute(owner);
  await sql`revoke usage on schema tim from tim_daemon`.execute(owner);
  await sql`create table mirror.of_a_later_release (n integer)`.execute(owner);
  const rights = async () =>
    (
      await sql<{ all: string }>`
        select string_agg(relacl::text, ' ' order by oid) as all from pg_class where relnamespace = 'mirror'::regnamespace
      `.execute(owner)
    ).rows[0]?.all;
  for (const { code, stderr } of await Promise.all([migrate(), migrate(), migrate()]))
    expect([code, stderr]).toEqual([0, '']);
  const given = await rights();
  const db = open(daemonUrl);
  await sql`insert into mirror.of_a_later_release values (1)`.execute(db);
  await expect(sql`update mirror.migration set name = 'x'`.execute(db)).rejects.toMatchObject({
    code: '42501',
  });
  await db.destroy();
  await migrate();
  expect(await rights()).toBe(given);
  await sql`drop table mirror.of_a_later_release`.execute(owner);
});

test('migrate --daemon-role says in a sentence that there is no such role, or that its user may not give rights', async () => {
  const ended = async (role: string, DATABASE_URL: string) =>
    runCommand(['migrate', '--daemon-role', role], { DATABASE_URL }).ended;
  const stranger = await ended('nobody_here', urlOf('tim_owner', 'password-of-the-owner'));
  expect([stranger.code, stranger.stderr]).toEqual([
    1,
    expect.stringMatching(/^tim-mirror: There is no role nobody_here .* create role nobody_here login .*\n$/),
  ]);
  await sql`create role other_daemon login`.execute(admin);
  const powerless = await ended('other_daemon', daemonUrl);
  expect([powerless.code, powerless.stderr]).toEqual([
    1,
    expect.stringMatching(/^tim-mirror: This user may not run: grant .*as the owner of the schemas.*\n$/),
  ]);
});

test('migrate --daemon-role of another role names what the first has made, and what an administrator does about it', async () => {
  const daemon = open(daemonUrl);
  await sql`create sequence bullmq.made_by_queues`.execute(daemon);
  await daemon.destroy();
  await sql`create role "Next_Daemon" login`.execute(admin);
  const migrate = () =>
    runCommand(['migrate', '--daemon-role', 'Next_Daemon'], {
      DATABASE_URL: urlOf('tim_owner', 'password-of-the-owner'),
    }).ended;
  const refused = await migrate();
  expect([refused.code, refused.stderr]).toEqual([
    1,
    expect.stringMatching(
      /^tim-mirror: bullmq\.\S+ belongs to the role tim_daemon, .* reassign owned by tim_daemon to .*\n$/,
    ),
  ]);
  const administrator = open(server.url('tim'));
  await sql`reassign owned by tim_daemon to tim_owner`.execute(administrator);
  await administrator.destroy();
  expect(await migrate()).toMatchObject({ code: 0, stderr: '' });
  for (const [role, words] of [
    ['tim_reader', /role of analysts/],
    ['No Such', /create role "No Such" login/],
  ] as const) {
    const { code, stderr } = await runCommand(['migrate', '--daemon-role', role], {
      DATABASE_URL: urlOf('tim_owner', 'password-of-the-owner'),
    }).ended;
    expect([code, stderr]).toEqual([1, expect.stringMatching(words)]);
  }
});

test('no other role may call the owner’s functions', async () => {
  await sql`create role plain_reader login password 'plain' in role tim_reader`.execute(admin);
  const db = open(urlOf('plain_reader', 'plain'));
  for (const call of ['mirror.attach_change_months(3)', "mirror.drop_change_month('change_2020_01')"])
    await expect(sql.raw(`select ${call}`).execute(db)).rejects.toMatchObject({ code: '42501' });
  await db.destroy();
});
