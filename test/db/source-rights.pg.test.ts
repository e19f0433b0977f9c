import { afterAll, beforeAll, expect, test } from 'vitest';
import { findSourceRisk } from '../../db/source-rights.ts';
import { type CustomerDatabase, startCustomerDatabase } from '../support/account-source.ts';

let customer: CustomerDatabase;
const never = new AbortController().signal;
const risk = (url = customer.url) => findSourceRisk(url, never);

beforeAll(async () => {
  customer = await startCustomerDatabase();
});

afterAll(async () => {
  await customer?.[Symbol.asyncDispose]();
});

test('of a role that may select from one table nothing is said', async () => {
  expect(await risk()).toBeUndefined();
});

test('a superuser is said', async () => {
  expect(await risk(customer.adminUrl)).toMatch(
    /^The role that reads the source of the accounts is a superuser, or may become one, .* select from one table\.$/,
  );
});

test.each([
  [
    'grant insert on users to account_reader',
    'revoke insert on users from account_reader',
    /may write the table public\.users,/,
  ],
  [
    'grant pg_write_all_data to account_reader',
    'revoke pg_write_all_data from account_reader',
    /is a member of pg_write_all_data,/,
  ],
  [
    'create role keeper superuser; grant keeper to account_reader',
    'drop role keeper',
    /is a superuser, or may become one,/,
  ],
  [
    'create view shown as select id from users; grant insert on shown to account_reader',
    'drop view shown',
    /may write the table public\.shown,/,
  ],
  [
    'grant update (id) on users to account_reader',
    'revoke update (id) on users from account_reader',
    /may write the table public\.users,/,
  ],
  [
    'create role writer; grant insert on users to writer; grant writer to account_reader with inherit false',
    'drop owned by writer; drop role writer',
    /may write the table public\.users,/,
  ],
  [
    'create function dblink_exec(text, text) returns text language sql as $$ select $1 $$',
    'drop function dblink_exec(text, text)',
    /may call public\.dblink_exec,/,
  ],
])('%s is said', async (give, take, words) => {
  await customer.run(give);
  try {
    expect(await risk()).toMatch(words);
  } finally {
    await customer.run(take);
  }
  expect(await risk()).toBeUndefined();
});

test('what is in the source under the names of Postgres’ own functions is not run', async () => {
  await customer.run('create table run (n integer); grant insert on run to public');
  await customer.run(`
    create function min(text) returns text language sql as $$ insert into run values (1) returning 'x' $$;
    create function has_table_privilege(oid, text) returns boolean language sql as $$
      insert into run values (1) returning true
    $$;
    alter role account_reader set search_path = public, pg_catalog;
  `);
  await customer.run('revoke insert on run from public');
  expect(await risk()).toBeUndefined();
  expect((await customer.run('select from run')).rowCount).toBe(0);
});

test('a source that can’t be asked says nothing here, and one that is given up is given up at once', async () => {
  expect(await risk('postgres://stranger@127.0.0.1:1/nowhere')).toBeUndefined();
  expect(await findSourceRisk(customer.adminUrl, AbortSignal.abort())).toBeUndefined();
});
