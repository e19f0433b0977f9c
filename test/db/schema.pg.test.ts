import { spawnSync } from 'node:child_process';
import { sql } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { blocksOf, readDocument } from '../support/documents.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});

afterAll(async () => {
  await database?.[Symbol.asyncDispose]();
});

async function all<T>(text: string): Promise<T[]> {
  return (await sql.raw<T>(text).execute(database.db)).rows;
}

describe('the schema', () => {
  test('is what db/schema.ts says (npm run db:types writes it)', () => {
    const { status, stdout, stderr } = spawnSync('kysely-codegen', ['--url', database.url, '--verify'], {
      encoding: 'utf8',
    });
    expect({ status, said: status === 0 ? '' : stdout + stderr }).toEqual({ status: 0, said: '' });
  });

  test('has a comment on every view, column and function', async () => {
    const silent = await all(`
      select c.relname as source, a.attname as column
      from pg_class c
      join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'tim'
      left join pg_attribute a on a.attrelid = c.oid and a.attnum >= 0
      where (c.relkind = 'v' and obj_description(c.oid, 'pg_class') is null)
        or (a.attnum > 0 and col_description(c.oid, a.attnum) is null)
      union all
      select proname, null from pg_proc p join pg_namespace n on n.oid = p.pronamespace and n.nspname = 'tim'
      where obj_description(p.oid, 'pg_proc') is null
      union all
      select typname, null from pg_type t join pg_class c on c.oid = t.typrelid and c.relkind = 'c'
      where t.typnamespace = 'tim'::regnamespace and obj_description(t.oid, 'pg_type') is null
    `);
    expect(silent).toEqual([]);
  });

  test('has the views, functions and columns that the CHANGELOG promises: to change one, change that too', async () => {
    const lines = await all<{ line: string }>(`
      with columns as (
        select attrelid, string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' order by attnum) as columns
        from pg_attribute where attnum > 0 and not attisdropped group by 1
      )
      select format('%s (%s)', relname, columns) as line
      from pg_class join columns on attrelid = pg_class.oid
      where relnamespace = 'tim'::regnamespace and relkind <> 'c'
      union all
      select format('%s (%s) → (%s)', proname, pg_get_function_arguments(pg_proc.oid),
        coalesce(columns, format_type(prorettype, null)))
      from pg_proc join pg_type on pg_type.oid = prorettype left join columns on attrelid = typrelid
      where pronamespace = 'tim'::regnamespace
    `);
    const [newest] = blocksOf(readDocument('CHANGELOG.md'), 'text');
    expect(lines.map(({ line }) => line).toSorted()).toEqual(newest?.trimEnd().split('\n').toSorted());
  });

  test('compares names and ids byte for byte, whatever the locale', async () => {
    const others = await all(`
      select table_name, column_name from information_schema.columns
      where table_schema = 'mirror' and column_name in ('account_id', 'group_name', 'friend_id')
        and collation_name is distinct from 'C'
    `);
    expect(others).toEqual([]);
  });

  test('makes the partitions of the change feed ahead, and making them again is no harm', async () => {
    // In the first hour of a month the one before is needed too.
    const months = await all<{ count: number; expected: number }>(`
      select count(*), 4 + (date_trunc('month', now(), 'UTC') > now() - interval '1 hour')::integer as expected
      from pg_inherits where inhparent = 'mirror.change'::regclass
    `);
    expect(months[0]?.count).toBe(months[0]?.expected);
    const again = await Promise.all(
      [0, 1, 2].map(() => all('select mirror.ensure_change_partitions(5) as made')),
    );
    expect(
      again
        .flat()
        .map((row) => Object(row).made)
        .sort(),
    ).toEqual([0, 0, 2]);
  });
});

describe('a member of tim_reader', () => {
  let reader: pg.Client;

  beforeAll(async () => {
    await all(`
      insert into mirror.app (app_id) values (1);
      insert into mirror.account (app_id, account_id) values (1, 'alice');
      insert into mirror.poll_state (account_key, app_id, due_v) select account_key, 1, 0 from mirror.account;
    `);
    const name = `analyst_${Date.now()}`;
    await all(`create role ${name} login password 'analyst' in role tim_reader`);
    const url = new URL(database.url);
    url.username = name;
    url.password = 'analyst';
    reader = new pg.Client({ connectionString: url.href });
    await reader.connect();
    return async () => {
      await reader.end();
      await all(`drop role ${name}`);
    };
  });

  test('reads every view and calls every function', async () => {
    const sources = await all<{ source: string }>(`
      select oid::regclass::text as source from pg_class where relnamespace = 'tim'::regnamespace and relkind = 'v'
      union all
      select format('%s(%s)', oid::regproc, case when pronargs > 0 then 'now()' end) from pg_proc where pronamespace = 'tim'::regnamespace
    `);
    expect(sources).toHaveLength(10);
    for (const { source } of sources) await reader.query(`select * from ${source}`);
    expect((await reader.query('select account_id, status from tim.accounts')).rows).toEqual([
      { account_id: 'alice', status: 'never_polled' },
    ]);
  });

  test('has no right on anything else, in whatever schema', async () => {
    const { rows } = await reader.query(`
      select c.oid::regclass::text as thing, privilege
      from pg_class c, unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) privilege
      where c.relkind in ('r', 'p', 'v', 'm', 'f')
        and c.relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'pg_toast'::regnamespace)
        and not (c.relnamespace = 'tim'::regnamespace and privilege = 'select')
        and has_table_privilege(c.oid, privilege)
      union all
      select nspname, privilege
      from pg_namespace, unnest(array['usage', 'create']) privilege
      where nspname !~ '^pg_' and nspname not in ('information_schema', 'public')
        and not (nspname = 'tim' and privilege = 'usage') and has_schema_privilege(oid, privilege)
    `);
    expect(rows).toEqual([]);
    const known = await reader.query("select from information_schema.tables where table_schema = 'mirror'");
    expect(known.rowCount).toBe(0);
  });

  test.each([
    'select * from mirror.account',
    'select * from mirror.app',
    "insert into tim.friend_groups values (1, 'alice', 'x', 1, now())",
    'delete from tim.changes',
    'create table tim.mine (x int)',
    'create table mirror.mine (x int)',
    "update tim.accounts set status = 'gone'",
    'truncate mirror.change',
    'select mirror.ensure_change_partitions(1)',
    'select mirror.attach_change_months(1)',
    'select tx_offset from mirror.feed',
    "select nextval('mirror.change_id_seq')",
    'create view tim.mine as select 1',
    'comment on view tim.accounts is null',
    'drop view tim.changes',
    'set role postgres',
  ])('may not %s', async (text) => {
    await expect(reader.query(text)).rejects.toThrow(/permission denied|cannot|must be owner/);
  });
});

test('no function of ours finds what it calls by its caller’s search_path', async () => {
  const { rows } = await sql<{ name: string; isSafe: boolean }>`
    select oid::regprocedure::text as name,
      prosqlbody is not null or exists (
        select from unnest(proconfig) as setting where setting like 'search\_path=pg\_catalog%'
      ) as "isSafe"
    from pg_proc where pronamespace in ('mirror'::regnamespace, 'tim'::regnamespace)
  `.execute(database.db);
  expect(rows.length).toBeGreaterThan(5);
  expect(rows.filter(({ isSafe }) => !isSafe)).toEqual([]);
});
