import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { readAccountSources, syncLeaseSeconds } from '../../db/queries/account-sources.ts';
import { enrolAccounts } from '../../db/queries/accounts.ts';
import { ensureApp } from '../../db/queries/apps.ts';
import { removeAccounts } from '../../src/accounts/remove-accounts.ts';
import { type SourceSync, type SyncOptions, syncAccounts } from '../../src/accounts/sync-accounts.ts';
import { type CustomerDatabase, startCustomerDatabase } from '../support/account-source.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { waitFor } from '../support/wait-for.ts';

const appId = 1;
const usersQuery = 'select id from users order by id';
const never = new AbortController().signal;
let customer: CustomerDatabase;
let database: TestDatabase;

beforeAll(async () => {
  customer = await startCustomerDatabase();
});

afterAll(async () => {
  await customer?.[Symbol.asyncDispose]();
});

beforeEach(async () => {
  database = await createTestDatabase();
  await ensureApp(database.db, { appId, callsPerSecond: 190 });
});

afterEach(async () => {
  await database?.[Symbol.asyncDispose]();
});

type Over = Partial<SyncOptions> & { readonly query?: string; readonly url?: string };

const sync = ({ query = usersQuery, url = customer.url, ...over }: Over = {}): Promise<SourceSync> =>
  syncAccounts(database.db, { appId, source: { url, query }, signal: never, ...over });

async function report(over: Over = {}) {
  const came = await sync(over);
  if (came.outcome !== 'synced') throw new Error(JSON.stringify(came));
  return came.report;
}

async function failure(over: Over = {}): Promise<string> {
  const came = await sync(over);
  return came.outcome === 'failed' ? came.failure : came.outcome;
}

const enrolled = async () =>
  (
    await sql<{ id: string }>`
      select account_id as id from mirror.account join mirror.poll_state using (account_key) order by 1
    `.execute(database.db)
  ).rows.map(({ id }) => id);

const stored = async () => (await readAccountSources(database.db)).at(0);

const users = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => `user-${String(from + index).padStart(3, '0')}`);

describe('a sync with the source of accounts', () => {
  test('enrols what is new, reports what has vanished, and leaves it enrolled', async () => {
    await customer.setUsers('alice', 'bob', 'carol');
    expect(await report()).toMatchObject({ named: 3, enrolled: 3, vanished: 0, bad: 0 });
    expect(await report()).toMatchObject({ named: 3, enrolled: 0, vanished: 0 });
    await customer.setUsers('alice', 'carol', 'dave');
    expect(await report()).toMatchObject({
      named: 3,
      enrolled: 1,
      vanished: 1,
      removed: 0,
      vanishedIds: ['bob'],
    });
    expect(await enrolled()).toEqual(['alice', 'bob', 'carol', 'dave']);
    expect(await stored()).toMatchObject({ named: 3, enrolled: 1, vanished: 1, removed: 0, failure: null });
  });

  test('takes out what has vanished with --prune, and takes it back when it returns', async () => {
    await customer.setUsers('alice', 'bob', 'carol');
    await report();
    await customer.setUsers('alice', 'carol');
    expect(await report({ prune: {} })).toMatchObject({ vanished: 1, removed: 1 });
    expect(await enrolled()).toEqual(['alice', 'carol']);
    await customer.setUsers('alice', 'bob', 'carol');
    expect(await report()).toMatchObject({ enrolled: 1, takenOut: 0 });
    expect(await enrolled()).toEqual(['alice', 'bob', 'carol']);
  });

  test('writes nothing for accounts that it knows', async () => {
    await customer.setUsers(...users(1, 50));
    await report();
    const rows = () =>
      sql`select account_key, xmin::text from mirror.account order by 1`.execute(database.db);
    const before = (await rows()).rows;
    await report();
    expect((await rows()).rows).toEqual(before);
  });

  test('never touches what the source has not named: imported, added by hand, or discovered', async () => {
    await enrolAccounts(database.db, appId, ['by-hand', 'common']);
    await customer.setUsers('alice', 'bob', 'common');
    expect(await report({ prune: {} })).toMatchObject({ named: 3, enrolled: 2, vanished: 0 });
    await customer.setUsers('alice', 'bob');
    expect(await report({ prune: {} })).toMatchObject({ vanished: 1, removed: 1, vanishedIds: ['common'] });
    expect(await enrolled()).toEqual(['alice', 'bob', 'by-hand']);
  });

  test('leaves out what was taken out by hand, until the source has dropped it', async () => {
    await customer.setUsers('alice', 'bob', 'carol');
    await report();
    await removeAccounts(database.db, appId, ['bob'], false);
    expect(await report()).toMatchObject({ enrolled: 0, takenOut: 1, vanished: 0 });
    expect(await enrolled()).toEqual(['alice', 'carol']);
    await customer.setUsers('alice', 'carol');
    expect(await report({ prune: {} })).toMatchObject({ vanished: 0, removed: 0 });
    await customer.setUsers('alice', 'bob', 'carol');
    expect(await report()).toMatchObject({ enrolled: 1, takenOut: 0 });
  });

  test.each([
    ['a bigint account_id', 'select 1 as x, 9007199254740993::bigint as account_id', '9007199254740993'],
    ['the first column, a number', "select * from (values (7::smallint, 'x'), (7, 'y')) v (id, name)", '7'],
    [
      'a UUID without its dashes, for an id has 32 characters at most',
      "select replace('0b8f4c0e-5f2d-4a53-9d2b-1a2b3c4d5e6f'::uuid::text, '-', '')",
      '0b8f4c0e5f2d4a539d2b1a2b3c4d5e6f',
    ],
    ['a varchar with a semicolon behind', "select 'alice'::varchar(40);", 'alice'],
    ['a comment behind', "select 'alice' -- all", 'alice'],
  ])('takes %s, once', async (_, query, id) => {
    expect(await report({ query })).toMatchObject({ named: 1, enrolled: 1 });
    expect(await enrolled()).toEqual([id]);
  });

  test('reports bad rows by their number, and enrols the rest', async () => {
    const reported: [number, string][] = [];
    const query =
      "select * from (values ('alice'), ('张三'), (null), (''), (' bob'), (repeat('x', 33)), ('o''hara \"x\"')) v";
    expect(await report({ query, onProblem: (...problem) => reported.push(problem) })).toMatchObject({
      named: 2,
      bad: 5,
    });
    expect(reported).toEqual([
      [2, 'has characters other than printable ASCII'],
      [3, 'is null'],
      [4, 'is empty'],
      [5, 'begins or ends with a blank'],
      [6, 'is longer than 32 characters'],
    ]);
    expect(await enrolled()).toEqual(['alice', 'o\'hara "x"']);
  });
});

describe('nothing is removed', () => {
  beforeEach(async () => {
    await customer.setUsers(...users(1, 100));
    await report();
  });

  const expectFailure = async (over: Over, sentence: RegExp, added: readonly string[] = []) => {
    expect(await failure({ ...over, prune: over.prune ?? {} })).toMatch(sentence);
    expect(await enrolled()).toEqual([...users(1, 100), ...added].toSorted());
    expect((await stored())?.failure).toMatch(sentence);
  };

  test('by a source that fails midway', async () => {
    await expectFailure(
      {
        // Of the hundred the first chunk names fifty.
        query: `
          select case when i <= 7000 then 'user-' || lpad((1 + i % 50)::text, 3, '0') else (1 / (i - i))::text end
          from generate_series(1, 9000) i`,
      },
      /^The query for accounts fails at its source with error 22012\.$/,
    );
  });

  test('by a source that suddenly names a tenth, unless the operator allows it', async () => {
    await customer.setUsers(...users(1, 10), 'new');
    await expectFailure(
      {},
      /^The source of the accounts names only 10 of the 100 accounts .* --prune --max-removals 90\.$/,
      ['new'],
    );
    expect(await failure({ prune: { maxRemovals: 89 } })).toMatch(/names only 11 of the 101 accounts/);
    expect(await report({ prune: { maxRemovals: 90 } })).toMatchObject({ vanished: 90, removed: 90 });
    expect(await enrolled()).toEqual(['new', ...users(1, 10)]);
    expect((await stored())?.failure).toBeNull();
  });

  test('by a source that is empty, whatever the operator allows', async () => {
    await customer.setUsers();
    await expectFailure({ prune: { maxRemovals: 100 } }, /names no account: its query returns no row\.$/);
  });

  test('by a source whose rows have all gone bad', async () => {
    await expectFailure(
      { query: "select '用户' || id from users" },
      /^The source of the accounts names no account: none of its 100 rows holds an account, the first has characters/,
    );
  });

  test('when more than a tenth has vanished, though what is new is enrolled', async () => {
    await customer.setUsers(...users(1, 89), 'new');
    expect(await report({ prune: {} })).toMatchObject({
      enrolled: 1,
      vanished: 11,
      removed: 0,
      refusal: expect.stringMatching(/^11 of 100 accounts have vanished, and no more than 10 /),
    });
    expect(await enrolled()).toHaveLength(101);
  });

  test('by a source whose server dies while it is read', async () => {
    const reading = failure({ prune: {}, query: 'select id || left(pg_sleep(0.05)::text, 0) from users' });
    await waitFor('the query to run', async () => {
      const { rows } = await customer.run(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tim-mirror accounts' and query like 'fetch%'",
      );
      return rows.length > 0;
    });
    expect(await reading).toBe('The source of the accounts was shut down while it was read.');
    expect(await enrolled()).toEqual(users(1, 100));
  });

  test('by a source that hangs: its query is cancelled', async () => {
    expect(await failure({ prune: {}, query: 'select pg_sleep(60)::text', timeoutMs: 300 })).toMatch(
      /cancelled the query: it took too long/,
    );
  });

  test('by a sync that is stopped by its caller, which is no failure', async () => {
    const ended = new AbortController();
    const reading = sync({ prune: {}, query: 'select pg_sleep(60)::text', signal: ended.signal });
    await sleep(200);
    ended.abort();
    expect(await reading).toEqual({ outcome: 'stopped' });
    expect(await stored()).toMatchObject({ failure: null, runningSince: null });
  });
});

describe('a source is only ever read', () => {
  test.each([
    ['update users set id = id', /refused: syntax error at or near "update"/],
    ['with gone as (delete from users returning id) select id from gone', /one select that only reads/],
    ['select id from users for update', /only ever read/],
    ["select id from write_user('mallory')", /only ever read/],
    ['select 1; commit; delete from users', /must be one select and nothing else/],
    ['commit', /refused: syntax error at or near "commit"/],
    ['copy users to stdout', /refused: syntax error at or near "copy"/],
    ['select from users', /has no column/],
    ['select nmae from users', /refused: column "nmae" does not exist \(42703\)/],
    ['select id from userz', /refused: relation "userz" does not exist \(42P01\)/],
    // A row must not be quoted.
    ["select ('hunter22' || id)::int::text from users", /fails at its source with error 22P02\.$/],
    ["select ('hunter22' || id)::regclass::text from users", /fails at its source with error 42P01\.$/],
    ['select tell_off()', /fails at its source with error P0001\.$/],
  ])('%s', async (query, sentence) => {
    await customer.run(`
      create or replace function write_user(id text) returns setof users language sql as $$
        insert into users values (id) returning * $$;
      create or replace function tell_off() returns text language plpgsql as $$
        begin raise exception 'hunter22 is a row value'; end $$
    `);
    await customer.setUsers('alice', 'bob');
    const said = await failure({ query });
    expect(said).toMatch(sentence);
    expect(said).not.toContain('hunter22');
    expect(said).not.toContain(new URL(customer.url).password);
    expect((await customer.run('select id from users order by 1')).rows).toEqual([
      { id: 'alice' },
      { id: 'bob' },
    ]);
  });

  test.each([
    [
      'a wrong password',
      (url: URL) => (url.password = 'hunter22'),
      /refuses the user or password in its URL/,
    ],
    [
      'a database that is not there',
      (url: URL) => (url.pathname = '/nope'),
      /no such database as its URL names/,
    ],
    [
      'a port that is closed',
      (url: URL) => (url.port = '1'),
      /can’t be reached \(ECONNREFUSED\); check its URL/,
    ],
    [
      'a certificate file that is not there',
      (url: URL) => (url.search = '?sslmode=verify-full&sslrootcert=/no/such/hunter22.pem'),
      /can’t be reached \(ENOENT\)/,
    ],
    [
      'a password that is badly written',
      (url: URL) => (url.password = '%hunter22'),
      /source of the accounts/,
    ],
    [
      'a host that is not there',
      (url: URL) => (url.hostname = 'db.invalid'),
      /can’t be reached \((ENOTFOUND|EAI_AGAIN)\)/,
    ],
  ])('%s is reported without showing the URL', async (_, spoil, sentence) => {
    const url = new URL(customer.url);
    const { password } = url;
    spoil(url);
    const said = await failure({ url: url.href });
    expect(said).toMatch(sentence);
    expect(said).not.toMatch(new RegExp(`hunter22|${password}|postgres://`));
  });
});

describe('a source that takes connections and never answers', () => {
  let silent: Server;
  let url: string;

  beforeAll(async () => {
    silent = createServer(() => undefined).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const address = silent.address();
    url = `postgres://reader@127.0.0.1:${typeof address === 'object' ? address?.port : ''}/shop`;
  });

  afterAll(() => void silent.close());

  test('is given up', async () => {
    expect(await failure({ url, timeoutMs: 300 })).toMatch(/can’t be reached; check its URL/);
  });

  test('holds up no caller that stops', async () => {
    const ended = new AbortController();
    const reading = sync({ url, signal: ended.signal });
    await waitFor('the sync to begin', async () => (await stored())?.runningSince ?? undefined);
    ended.abort();
    expect(await reading).toEqual({ outcome: 'stopped' });
  });
});

describe('two syncs of one app', () => {
  test('at once: the second says that one is under way', async () => {
    await customer.setUsers(...users(1, 3));
    const slow = sync({ query: 'select id || left(pg_sleep(0.3)::text, 0) from users' });
    await waitFor('the first to begin', async () => (await stored())?.runningSince ?? undefined);
    expect(await sync()).toEqual({ outcome: 'busy' });
    expect(await slow).toMatchObject({ outcome: 'synced', report: { named: 3 } });
    expect(await sync()).toMatchObject({ outcome: 'synced' });
  });

  test('one of which was killed: the other goes on when its lease has ended, and its late end changes nothing', async () => {
    await customer.setUsers(...users(1, 3));
    const overtaken = sync({ query: 'select id || left(pg_sleep(1)::text, 0) from users' });
    // Once it has said that it is alive, it says so again after ten seconds only, and learns nothing of the next one.
    await waitFor('the first to have renewed its lease', async () => {
      const { rows } = await sql<{ renewed: boolean }>`
        select leased_until - began_at > ${syncLeaseSeconds} * interval '1 second' + interval '100 microseconds' as renewed
        from mirror.account_source
      `.execute(database.db);
      return rows[0]?.renewed;
    });
    const next = await waitFor('the lease to have ended', async () => {
      await sql`update mirror.account_source set leased_until = now() - interval '1 second'`.execute(
        database.db,
      );
      const came = await sync();
      return came.outcome === 'busy' ? undefined : came;
    });
    expect(next).toMatchObject({ outcome: 'synced', report: { named: 3 } });
    const after = await stored();
    expect(await overtaken).toMatchObject({ outcome: 'synced' });
    expect((await stored())?.syncedAt).toEqual(after?.syncedAt);
  });

  test('and an import at once enrol everything, and neither waits for ever', async () => {
    await customer.setUsers(...users(1, 900));
    await Promise.all([
      report(),
      ...Array.from({ length: 4 }, () => enrolAccounts(database.db, appId, users(1, 900))),
    ]);
    expect(await enrolled()).toEqual(users(1, 900));
    expect(await report()).toMatchObject({ named: 900, enrolled: 0, vanished: 0 });
  });
});
