import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type CustomerDatabase, startCustomerDatabase } from '../support/account-source.ts';
import { runCommand } from '../support/daemon.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { waitFor } from '../support/wait-for.ts';
import { runWarm } from '../support/warm-command.ts';

const query = 'select id from users order by id';
let customer: CustomerDatabase;
let database: TestDatabase;
let folder: string;
let env: Record<string, string>;

beforeAll(async () => {
  customer = await startCustomerDatabase();
  database = await createTestDatabase();
  folder = mkdtempSync(join(tmpdir(), 'tim-source-'));
  env = { DATABASE_URL: database.url, TIM_SDK_APP_ID: '1' };
});

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await customer?.[Symbol.asyncDispose]();
  await database?.[Symbol.asyncDispose]();
});

beforeEach(async () => {
  await sql`truncate mirror.app cascade`.execute(database.db);
  await customer.setUsers('alice', 'bob', 'carol');
});

/** Runs a command; what it says must show nothing of the source's URL. */
async function run(args: string[], over: Record<string, string> = {}) {
  const came = await runWarm(args, { ...env, ...over });
  const { password, host } = new URL(customer.url);
  expect(came.stdout + came.stderr).not.toMatch(new RegExp(`${password}|${host}|hunter22`));
  return came;
}

const source = (of = query) => ({ ACCOUNTS_SOURCE_URL: customer.url, ACCOUNTS_QUERY: of });
const importFrom = (of: string, ...more: string[]) =>
  run(['accounts', 'import', '--from-sql', of, '--source-url', customer.url, ...more]);
const syncNow = (...options: string[]) => run(['accounts', 'sync', ...options], source());

const enrolled = async (appId = 1) =>
  (
    await sql<{ id: string }>`
      select account_id as id from tim.accounts where app_id = ${appId} order by 1
    `.execute(database.db)
  ).rows.map(({ id }) => id);

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

describe('accounts import --from-sql', () => {
  test('enrols what the query names, reports bad rows, and changes nothing the second time', async () => {
    await customer.setUsers('alice', 'bob', '张三', 'carol', 'alice');
    const first = await importFrom('select * from users');
    expect(first).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^3 accounts enrolled, 1 were known, 1 bad rows left out/),
      stderr: expect.stringContaining('row 3 has characters other than printable ASCII; it is left out\n'),
    });
    expect((await importFrom('select * from users')).stdout).toMatch(/^0 accounts enrolled, 4 were known/);
    expect(await enrolled()).toEqual(['alice', 'bob', 'carol']);
  });

  test('drops the blanks that Postgres fills a char(n) with', async () => {
    expect(await importFrom('select id::char(20) from users')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('3 accounts enrolled, 0 were known, 0 bad rows'),
    });
    expect(await enrolled()).toEqual(['alice', 'bob', 'carol']);
  });

  test('takes the URL from the environment, or a file, and goes without ACCOUNTS_QUERY', async () => {
    const command = ['accounts', 'import', '--from-sql', query];
    expect((await run(command, { ACCOUNTS_SOURCE_URL: customer.url })).stdout).toMatch(/^3 accounts/);
    const path = file('url', `${customer.url}\n`);
    expect((await run(command, { ACCOUNTS_SOURCE_URL_FILE: path })).stdout).toMatch(/^0 accounts .* 3 were/);
    const over = { ACCOUNTS_SOURCE_URL: 'postgres://r:hunter22@stranger.invalid/x' };
    expect((await run([...command, '--source-url', customer.url], over)).stdout).toMatch(/ 3 were/);
  });

  test.each([
    [['import'], /Name either a list of accounts, or a query with --from-sql/],
    [['import', 'list.txt', '--from-sql', query], /Name either a list/],
    [['import', '--from-sql', query], /Say which Postgres to ask, with --source-url or ACCOUNTS_SOURCE_URL/],
    [['import', 'list.txt', '--source-url', 'postgres://h/d'], /--source-url goes with --from-sql/],
    [['import', '--from-sql', query, '--source-url', 'mysql://u:hunter22@h/d'], /--source-url must be a URL/],
    [
      ['import', '--from-sql', query, '--source-url', 'postgres://h/d', '--format', 'csv'],
      /--format is about/,
    ],
    [['sync'], /App 1 has no source of accounts; set ACCOUNTS_SOURCE_URL and ACCOUNTS_QUERY/],
    [['sync', '--max-removals', '5'], /--max-removals goes with --prune/],
    [['sync', '--prune', '--max-removals', 'many'], /must be a number of accounts/],
  ])('called wrongly says so and exits 2: %j', async (args, sentence) => {
    const { code, stderr, stdout } = await run(['accounts', ...args]);
    expect(stderr).toMatch(sentence);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });

  test('what goes wrong at the source is one sentence and exit code 1', async () => {
    const said = async (of: string, url = customer.url) => {
      const { code, stderr } = await run(['accounts', 'import', '--from-sql', of, '--source-url', url]);
      return `${code} ${stderr}`;
    };
    expect(await said('select nmae from users')).toBe(
      '1 tim-mirror: The query for accounts is refused: column "nmae" does not exist (42703).\n',
    );
    expect(await said("delete from users where id = 'alice' returning id")).toMatch(/^1 .*"delete"/);
    expect(await said("select 'hunter22 is long, longer than an id may be'")).toMatch(
      /^1 row 1 is longer than 32 characters; it is left out\ntim-mirror: No row of the query holds/,
    );
    expect(await said(query, 'postgres://reader:hunter22@127.0.0.1:1/shop')).toBe(
      '1 tim-mirror: The source of the accounts can’t be reached (ECONNREFUSED); check its URL and that it is running.\n',
    );
  });
});

describe('accounts sync', () => {
  test('enrols, reports and, with --prune, removes; status shows it', async () => {
    expect((await syncNow()).stdout).toMatch(/^3 accounts named: 3 enrolled, 0 vanished \(/);
    await customer.setUsers('alice', 'carol', 'dave');
    const { code, stdout } = await syncNow();
    expect(stdout).toMatch(
      /^3 accounts named: 1 enrolled, 1 vanished .*\nvanished: bob\nThey stay enrolled; --prune/,
    );
    expect(code).toBe(0);
    const status = (await run(['status'])).stdout;
    expect(status).toMatch(
      /source +3 accounts named .* ago, 1 of them new; 1 vanished, `accounts sync --prune`/,
    );
    expect((await syncNow('--prune')).stdout).toMatch(/1 vanished, 1 removed .*\nvanished: bob\n$/);
    expect(await enrolled()).toEqual(['alice', 'carol', 'dave']);
    const [app] = JSON.parse((await run(['status', '--json'])).stdout).apps;
    expect(app.accountSource).toEqual({
      synced: {
        at: expect.any(String),
        secondsAgo: expect.any(Number),
        named: 3,
        badRows: 0,
        enrolled: 0,
        vanished: 1,
        removed: 1,
      },
      failing: null,
      runningSince: null,
    });
  });

  test('refuses a source that has lost most of its rows; status says since when and why, until the operator allows it', async () => {
    await syncNow();
    await customer.setUsers('alice');
    const { code, stderr } = await syncNow('--prune');
    expect({ code, stderr: stderr.split('\n').at(-2) }).toEqual({
      code: 1,
      stderr:
        'tim-mirror: The source of the accounts names only 1 of the 3 accounts that it has named by now. Less than half is not believed; if it is right, say so with --prune --max-removals 2. Nothing was removed; 0 accounts were enrolled.',
    });
    expect(await enrolled()).toEqual(['alice', 'bob', 'carol']);
    const status = (await run(['status'])).stdout;
    expect(status).toMatch(/source +FAILS since 20.*: The source of the accounts names only 1 of the 3/);
    expect(status).toMatch(/source +3 accounts named/);
    const [app] = JSON.parse((await run(['status', '--json'])).stdout).apps;
    expect(app.problems).toContain(
      'Accounts are not synced with their source: `tim-mirror status` says why.',
    );
    expect((await syncNow('--prune', '--max-removals', '2')).stdout).toMatch(/2 vanished, 2 removed/);
    expect((await run(['status'])).stdout).not.toContain('FAILS');
  });

  test('refuses a tenth and more only where it is to remove, and exits 1', async () => {
    const ids = Array.from({ length: 200 }, (_, index) => `user-${1000 + index}`);
    await customer.setUsers(...ids);
    await syncNow();
    await customer.setUsers(...ids.slice(21));
    expect(await syncNow()).toMatchObject({ code: 0, stdout: expect.stringContaining('21 vanished') });
    expect(await syncNow('--prune')).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/21 vanished, 0 removed[\s\S]* and 1 more\n$/),
      stderr: expect.stringContaining(
        'Nothing was removed: 21 of 200 accounts have vanished, and no more than 20 are removed at once',
      ),
    });
    expect(await enrolled()).toHaveLength(200);
  });

  test('that is ended releases its lease, and one that is killed leaves it for half a minute', async () => {
    const slow = { ACCOUNTS_SOURCE_URL: customer.url, ACCOUNTS_QUERY: 'select pg_sleep(60)::text' };
    const queries = async () =>
      (await customer.run("select from pg_stat_activity where query like 'fetch forward%'")).rows.length;
    const running = () => waitFor('the sync to run', async () => (await queries()) > 0);
    const reported = runCommand(['accounts', 'sync'], { ...env, ...slow });
    await running();
    reported.child.kill('SIGTERM');
    expect(await reported.ended).toMatchObject({ code: 1, stderr: expect.stringContaining('was aborted') });
    expect(await syncNow()).toMatchObject({ code: 0 });
    // The query does not go on at the customer's either.
    await waitFor('the query to end', async () => (await queries()) === 0);

    const killed = runCommand(['accounts', 'sync'], { ...env, ...slow });
    await running();
    killed.child.kill('SIGKILL');
    await killed.ended;
    expect(await syncNow()).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('Another sync of app 1 is under way, or was killed'),
    });
    await sql`update mirror.account_source set leased_until = now()`.execute(database.db);
    expect((await syncNow()).stdout).toMatch(/^3 accounts named: 0 enrolled, 0 vanished/);
    await customer.run(
      "select pg_terminate_backend(pid) from pg_stat_activity where query like 'fetch forward%'",
    );
  });

  test('of several apps: each by its own query', async () => {
    const apps = [
      { sdkAppId: 1, secretKey: 'key-of-one', accountsQuery: `${query} limit 1` },
      { sdkAppId: 2, secretKey: 'key-of-two', accountsQuery: query },
      { sdkAppId: 3, secretKey: 'key-of-three' },
    ];
    const over = {
      TIM_SDK_APP_ID: '',
      TIM_APPS_FILE: file('apps.json', JSON.stringify(apps)),
      ACCOUNTS_SOURCE_URL: customer.url,
    };
    for (const app of ['1', '2'])
      expect(await run(['accounts', 'sync', '--app', app], over)).toMatchObject({ code: 0 });
    expect(await enrolled(1)).toEqual(['alice']);
    expect(await enrolled(2)).toEqual(['alice', 'bob', 'carol']);
    expect((await run(['accounts', 'sync', '--app', '3'], over)).stderr).toMatch(/App 3 has no source/);
    expect((await run(['accounts', 'sync'], over)).stderr).toMatch(/name one with --app/);
  });

  test('other commands mind neither the source nor its absence', async () => {
    const over = { ...source(), ACCOUNTS_SOURCE_URL: 'postgres://r:hunter22@stranger.invalid/x' };
    expect((await run(['accounts', 'add', 'eve'], over)).stdout).toMatch(/^1 accounts enrolled/);
    expect((await run(['status'], over)).code).toBe(0);
    expect((await run(['status'])).stdout).not.toMatch(/source +/);
  });
});

test('a source whose role may do more than read is warned of on standard error, and read', async () => {
  const over = { ...source(), ACCOUNTS_SOURCE_URL: customer.adminUrl };
  for (const args of [
    ['accounts', 'sync', '--json'],
    ['accounts', 'import', '--from-sql', query],
  ]) {
    const { code, stderr } = await run(args, over);
    expect([args, code, stderr]).toEqual([
      args,
      0,
      expect.stringMatching(
        /^tim-mirror: The role that reads the source of the accounts is a superuser, .*\n/,
      ),
    ]);
  }
});
