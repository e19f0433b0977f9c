import { spawnSync } from 'node:child_process';
import { sql } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

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

  test('tells analysts what every view, column and function means', async () => {
    const silent = await all(`
      select c.relname as view, a.attname as column
      from pg_class c
      join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'tim'
      left join pg_attribute a on a.attrelid = c.oid and a.attnum >= 0
      where c.relkind = 'v'
        and (obj_description(c.oid, 'pg_class') is null or (a.attnum > 0 and col_description(c.oid, a.attnum) is null))
      union all
      select proname, null from pg_proc p join pg_namespace n on n.oid = p.pronamespace and n.nspname = 'tim'
      where obj_description(p.oid, 'pg_proc') is null
    `);
    expect(silent).toEqual([]);
  });

  test('has the views and columns that the design promises', async () => {
    const columns = await all<{ view: string; columns: string }>(`
      select table_name as view, string_agg(column_name || ' ' || data_type, ', ' order by ordinal_position) as columns
      from information_schema.columns where table_schema = 'tim' group by 1 order by 1
    `);
    expect(
      Object.fromEntries(columns.map(({ view, columns: names }) => [view, names])),
    ).toMatchInlineSnapshot(`
      {
        "accounts": "app_id bigint, account_id text, status text, group_count integer, sequence bigint, verified_at timestamp with time zone, changed_at timestamp with time zone, enrolled_at timestamp with time zone, last_error_code integer, last_error text",
        "changes": "change_id bigint, app_id bigint, account_id text, kind text, group_name text, friend_id text, observed_at timestamp with time zone, sequence bigint, tx_id xid8",
        "freshness": "app_id bigint, accounts bigint, never_read bigint, overdue bigint, age_p50 interval, age_p95 interval, age_p99 interval, age_max interval",
        "friend_group_history": "app_id bigint, account_id text, group_name text, friend_number integer, added_at timestamp with time zone, removed_at timestamp with time zone",
        "friend_group_member_history": "app_id bigint, account_id text, group_name text, friend_id text, added_at timestamp with time zone, removed_at timestamp with time zone",
        "friend_group_members": "app_id bigint, account_id text, group_name text, friend_id text, added_at timestamp with time zone",
        "friend_groups": "app_id bigint, account_id text, group_name text, friend_number integer, added_at timestamp with time zone",
      }
    `);
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
    const months = await all<{ count: number }>(
      `select count(*) from pg_inherits where inhparent = 'mirror.change'::regclass`,
    );
    expect(months[0]?.count).toBe(4);
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
    for (const source of [
      'accounts',
      'friend_groups',
      'friend_group_members',
      'friend_group_history',
      'friend_group_member_history',
      'changes',
      'freshness',
      'friend_groups_at(now())',
      'friend_group_members_at(now())',
    ]) {
      await reader.query(`select * from tim.${source}`);
    }
    expect((await reader.query('select account_id, status from tim.accounts')).rows).toEqual([
      { account_id: 'alice', status: 'pending' },
    ]);
  });

  test.each([
    'select * from mirror.account',
    'select * from mirror.app',
    "insert into tim.friend_groups values (1, 'alice', 'x', 1, now())",
    'delete from tim.changes',
    'create table tim.mine (x int)',
    'create table mirror.mine (x int)',
  ])('may not %s', async (text) => {
    await expect(reader.query(text)).rejects.toThrow(/permission denied|cannot/);
  });
});
