import { sql } from 'kysely';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connect, type Database } from '../../db/client.ts';
import { assertSchema, migrate } from '../../db/migrate.ts';
import { giveRowsIdentities } from '../../db/migrations/0006_row_identities.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { connectGated, type Statement } from '../support/gated-database.ts';
import { applyOldSchema } from '../support/old-schema.ts';
import { waitFor } from '../support/wait-for.ts';

let database: TestDatabase;
const clients: { end(): Promise<void> }[] = [];

beforeEach(async () => {
  database = await createTestDatabase({ migrated: false });
  await applyOldSchema(database.db, 4);
  await fill();
});

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.end()));
  await database[Symbol.asyncDispose]();
});

async function read<T = unknown>(text: string): Promise<T[]> {
  const { rows } = await sql.raw<T>(text).execute(database.db);
  return rows;
}

async function run(text: string): Promise<void> {
  await read(text);
}

async function connectClient(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: database.url });
  client.on('error', () => undefined);
  await client.connect();
  clients.push(client);
  return client;
}

/** Groups whose members come and go, feed of now and of a month long ago. */
async function fill(): Promise<void> {
  await run(`
    insert into mirror.app (app_id) values (1);
    insert into mirror.account (app_id, account_id) select 1, 'user-' || n from generate_series(1, 50) n;
    insert into mirror.poll_state (account_key, app_id, due_v) select account_key, 1, 0 from mirror.account;
    insert into mirror.friend_group (account_key, group_name, friend_number, added_at)
    select account_key, 'a', 20, now() - interval '9 days' from mirror.account;
    insert into mirror.friend_group_member (group_key, friend_id, added_at, removed_at)
    select group_key, 'friend-' || n, added_at, case when n % 5 = 0 then now() end
    from mirror.friend_group, generate_series(1, 20) n;
    create table mirror.change_2020_01 partition of mirror.change for values from ('2020-01-01Z') to ('2020-02-01Z');
    create table mirror.change_2020_02 (like mirror.change including defaults including constraints);
    insert into mirror.change (app_id, account_key, kind, group_name, friend_id, observed_at)
    select 1, account_key, 'member_added', 'a', 'friend-1', at
    from mirror.account, unnest(array['2020-01-15', now()]::timestamptz[]) at;
  `);
}

/** As docs/scaling.md said before members had a key. */
async function partitionMembers(): Promise<void> {
  await run(`
    alter table mirror.friend_group_member rename to friend_group_member_1;
    alter index mirror.friend_group_member_current rename to friend_group_member_1_current;
    alter index mirror.friend_group_member_group rename to friend_group_member_1_group;
    alter index mirror.friend_group_member_removed rename to friend_group_member_1_removed;
    alter index mirror.friend_group_member_friend rename to friend_group_member_1_friend;
    create table mirror.friend_group_member (
      group_key bigint not null references mirror.friend_group on delete cascade,
      friend_id text collate "C" not null,
      added_at timestamptz not null,
      removed_at timestamptz,
      constraint friend_group_member_check check (removed_at >= added_at)
    ) partition by range (group_key);
    create unique index friend_group_member_current on mirror.friend_group_member (group_key, friend_id)
      where removed_at is null;
    create index friend_group_member_group on mirror.friend_group_member (group_key);
    create index friend_group_member_removed on mirror.friend_group_member (removed_at) where removed_at is not null;
    create index friend_group_member_friend on mirror.friend_group_member (friend_id);
    alter table mirror.friend_group_member attach partition mirror.friend_group_member_1
      for values from (minvalue) to (60);
    create table mirror.friend_group_member_2 partition of mirror.friend_group_member
      for values from (60) to (maxvalue);
    create or replace view tim.friend_group_member_history as
    select account.app_id, account.account_id, friend_group.group_name, member.friend_id, member.added_at, member.removed_at
    from mirror.friend_group_member member
    left join mirror.friend_group using (group_key) left join mirror.account using (account_key);
    alter table mirror.friend_group alter column group_key restart with 60;
    with later as (
      insert into mirror.friend_group (account_key, group_name, friend_number, added_at)
      select account_key, 'b', 1, now() from mirror.account returning group_key
    )
    insert into mirror.friend_group_member (group_key, friend_id, added_at) select group_key, 'friend-1', now() from later;
  `);
}

const history = () =>
  read(`
    select group_key, friend_id, added_at::text, removed_at::text from mirror.friend_group_member
    order by group_key, friend_id, added_at
  `);

/** What the migration has to leave behind, whichever way it went. */
async function expectIdentities(): Promise<void> {
  expect(
    await read(`
      select oid::regclass::text as name from pg_class
      where relkind in ('r', 'p') and relnamespace = 'mirror'::regnamespace and oid <> 'mirror.change'::regclass
        and not exists (
          select from pg_index
          where indrelid = pg_class.oid and indisvalid
            and case when relreplident = 'i' then indisreplident else indisprimary end
        )
    `),
  ).toEqual([]);
  expect(
    await read(`
      select indexrelid::regclass::text as name from pg_index join pg_class on pg_class.oid = indexrelid
      where relnamespace = 'mirror'::regnamespace
        and (not indisvalid or relname ~ 'friend_group_member.*_(current|group)$' or relname = 'change_identity')
    `),
  ).toEqual([]);
  expect(
    await read(
      `select indisunique as unique from pg_index where indexrelid = 'mirror.change_feed'::regclass`,
    ),
  ).toEqual([{ unique: true }]);
}

async function numberOf(text: string): Promise<number> {
  return (await read<{ count: number }>(`select count(*) from ${text}`))[0]?.count ?? 0;
}

const shapes: readonly (readonly [string, () => Promise<void>])[] = [
  ['whole', async () => undefined],
  ['partitioned', partitionMembers],
];

describe.each(shapes)('a mirror of an older release, with its members %s', (_, prepare) => {
  test('is migrated while it is written and read: no session waits for a long reader, only the migration does', async () => {
    await prepare();
    const before = await history();
    const reader = await connectClient();
    await reader.query('begin isolation level repeatable read');
    await reader.query('select count(*) from mirror.friend_group_member, mirror.change');

    const writer = await connectClient();
    let written = 0;
    let ended = false;
    const writing = (async () => {
      for (; !ended; written += 1) {
        await writer.query(`
          with came as (
            insert into mirror.friend_group_member (group_key, friend_id, added_at)
            values (${(written % 50) + 1}, 'new-${written}', now()) returning *
          )
          insert into mirror.change (app_id, account_key, kind, group_name, friend_id, observed_at)
          select 1, group_key, 'member_added', 'a', friend_id, added_at from came
        `);
        await writer.query('select count(*) from tim.friend_group_members');
      }
    })();
    const reported: string[] = [];
    const migrating = migrate(database.db, { say: (sentence) => reported.push(sentence) });
    await waitFor('the first index', () => reported.length > 0);
    const [seen, writtenThen] = [reported.length, written];
    await waitFor('writes meanwhile', () => written > writtenThen + 20);
    expect(reported).toHaveLength(seen);
    await reader.query('commit');

    expect((await migrating).applied).toContain('0006_row_identities');
    const afterwards = written;
    await waitFor('writes afterwards', () => written > afterwards + 5);
    ended = true;
    await writing;
    await assertSchema(database.db);
    await expectIdentities();
    const rows = await history();
    expect(rows).toHaveLength(before.length + written);
    expect(rows).toEqual(expect.arrayContaining([...before]));
    expect(await numberOf('mirror.change')).toBe(100 + written);
  });

  test('is migrated by several processes of which each dies after its first change', async () => {
    await prepare();
    const before = await history();
    let attempts = 0;
    for (let finished = false; !finished; attempts += 1) {
      // Half of them die before a transaction is committed, the others when it is.
      finished = await migrateUntilItDies(database.url, attempts % 2 === 0);
      expect(attempts).toBeLessThan(200);
    }
    expect(attempts).toBeGreaterThan(10);
    await expectIdentities();
    expect(await history()).toEqual(before);
  });
});

const isChange = ({ text }: Statement) => /^\s*(create|alter|drop|delete|update)\b/.test(text);

/** Whether the migration came to its end before it changed anything. */
async function migrateUntilItDies(url: string, beforeCommit: boolean): Promise<boolean> {
  const death = new Error('the process dies');
  let changed = false;
  let dead = false;
  let open = false;
  const gate = async (statement: Statement): Promise<pg.QueryResult> => {
    if (dead) throw death;
    if (changed && (beforeCommit || !open)) {
      dead = true;
      // The server does so for a client that is gone.
      if (open) await statement.ask('rollback', []);
      throw death;
    }
    const result = await statement.run();
    if (statement.text === 'begin') open = true;
    if (statement.text === 'commit') open = false;
    changed ||= isChange(statement) && !/function/.test(statement.text);
    return result;
  };
  const db = connectGated(url, gate);
  try {
    await db.connection().execute((connection) => giveRowsIdentities(connection, () => undefined));
    return !changed;
  } catch (error) {
    if (error !== death) throw error;
    return false;
  } finally {
    await db.destroy();
  }
}

test('an index whose making was aborted is made again', async () => {
  const reader = await connectClient();
  await reader.query('begin isolation level repeatable read');
  await reader.query('select count(*) from mirror.friend_group_member');
  const first = connect({ url: database.url, applicationName: 'killed', onIdleError: () => undefined });
  const killed = migrate(first).then(
    () => 'finished',
    () => 'killed',
  );
  await waitFor('an index that waits for the reader', async () => {
    const { rows } = await sql<{ pid: number }>`
      select pid from pg_stat_activity where application_name = 'killed' and query ~ 'concurrently' and wait_event_type = 'Lock'
    `.execute(database.db);
    return rows.length > 0;
  });
  await run(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'killed'`);
  expect(await killed).toBe('killed');
  await first.destroy();
  expect(await numberOf('pg_index where not indisvalid')).toBeGreaterThan(0);
  await reader.query('commit');
  await migrate(database.db);
  await expectIdentities();
});

test('lives that began at one moment of a coarse clock are distinguished, under a publication too', async () => {
  await run(`
    create publication everything for all tables;
    insert into mirror.friend_group_member (group_key, friend_id, added_at, removed_at) values
      (1, 'twin', '2020-01-01Z', '2020-01-01Z'), (1, 'twin', '2020-01-01Z', '2020-01-01Z'), (1, 'twin', '2020-01-01Z', null),
      (2, 'twin', '2020-01-01Z', '2020-01-05Z'), (2, 'twin', '2020-01-01Z', '2020-01-03Z'),
      (3, 'twin', '2020-01-01Z', '2020-01-01Z'), (3, 'twin', '2020-01-01Z', '2020-01-01Z');
  `);
  await migrate(database.db);
  await expectIdentities();
  const rows = await read(`
    select group_key, extract(microseconds from added_at)::integer as micros, removed_at::date::text as ended
    from mirror.friend_group_member where friend_id = 'twin' order by 1, 2
  `);
  expect(rows).toEqual([
    { group_key: 1, micros: 0, ended: null },
    { group_key: 2, micros: 0, ended: '2020-01-05' },
    { group_key: 2, micros: 1, ended: '2020-01-03' },
    { group_key: 3, micros: 0, ended: '2020-01-01' },
  ]);
});

test('a second migrate waits for the first, which builds indexes meanwhile, and finds nothing to do', async () => {
  const others: Database[] = Array.from({ length: 3 }, () =>
    connect({ url: database.url, applicationName: 'another', onIdleError: () => undefined }),
  );
  const reports = await Promise.all(others.map((other) => migrate(other)));
  expect(reports.filter(({ applied }) => applied.length > 0)).toHaveLength(1);
  await Promise.all(others.map((other) => other.destroy()));
  await expectIdentities();
});

test('partitions of the feed that an operator has made get an identity too, whatever they are called', async () => {
  await run(`
    create table mirror.change_default partition of mirror.change default;
    create table mirror.old_changes partition of mirror.change for values from ('2019-01-01Z') to ('2020-01-01Z');
  `);
  await migrate(database.db);
  expect(
    await read(`
      select relname from pg_class where relreplident <> 'i'
        and oid in (select inhrelid from pg_inherits where inhparent = 'mirror.change'::regclass)
    `),
  ).toEqual([]);
});

test('a partition that can have no identity is named, with what to run, and nothing goes round for ever', async () => {
  await run(`
    create table mirror.parted partition of mirror.change for values from ('2019-01-01Z') to ('2020-01-01Z')
      partition by range (observed_at)
  `);
  await expect(migrate(database.db)).rejects.toThrow(
    /mirror\.parted is a partition of mirror\.change and no ordinary table.*run: alter table mirror\.change detach partition mirror\.parted;/,
  );
  await run('alter table mirror.change detach partition mirror.parted');
  await migrate(database.db);
  await assertSchema(database.db);
});
