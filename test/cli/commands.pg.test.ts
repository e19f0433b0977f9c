import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { haltApp, resumeApp } from '../../db/queries/apps.ts';
import { daemonEnvironment, runCommand, startTestDaemon } from '../support/daemon.ts';
import { waitFor } from '../support/wait-for.ts';
import { runWarm } from '../support/warm-command.ts';
import { createWorld, testApp, type World } from '../support/world.ts';

let world: World;
let folder: string;
let env: Record<string, string>;

beforeAll(async () => {
  world = await createWorld();
  folder = mkdtempSync(join(tmpdir(), 'tim-cli-'));
  env = daemonEnvironment({ vendor: world.vendor, databaseUrl: world.database.url });
});

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await world?.[Symbol.asyncDispose]();
});

const run = (args: string[], over: Record<string, string> = {}, input = '') =>
  runWarm(args, { ...env, ...over }, input);

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const enrolled = async () =>
  (
    await sql<{ id: string }>`select account_id as id from tim.accounts order by 1`.execute(world.db)
  ).rows.map(({ id }) => id);

/** Two groups at the vendor, however often it is called. */
function giveGroups(id: string): void {
  const { truth } = world.vendor;
  truth.addAccount(id);
  truth.change(id, { kind: 'add_group', group: '家人', members: ['bob'] });
  truth.change(id, { kind: 'add_group', group: '同事', members: ['carol'] });
}

describe('the command line, called wrongly, says so in a sentence and exits 2', () => {
  test.each([
    [['bogus'], /unknown command 'bogus'/],
    [['start', '--role', 'king'], /Roles are all, dispatch and poll/],
    [['fetch'], /missing required argument/],
    [['fetch', 'a', '--since', 'x'], /must be a sequence/],
    [['sync', 'a', '--timeout', '5'], /Write it as 90s/],
    [['groups', 'a', '--at', 'yesterday'], /2h for two hours ago/],
    [['accounts', 'import', '/no/such/file'], /can’t be read \(ENOENT\)/],
    [['accounts', 'import', tmpdir()], /can’t be read \(EISDIR\)/],
    [['accounts', 'add', '张三'], /printable ASCII/],
    [['accounts', 'remove'], /Name the accounts to remove/],
    [['accounts', 'add', 'x', '--app', '7'], /App 7 is not configured/],
    [['simulator', '--fault', 'x'], /Write it as reset=0.01/],
    [['simulator', '--reading', 'x'], /Allowed choices are full, changed, ignored/],
  ])('%j', async (args, sentence) => {
    const { code, stdout, stderr } = await run(args);
    expect(stderr).toMatch(sentence);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });

  test('a wrong variable too, one sentence each', async () => {
    const { code, stderr } = await run(['start'], {
      TIM_CALLS_PER_SECOND: '500',
      HTTP_PORT: 'abc',
      POLL_MIN_INTERVAL: '1',
    });
    expect(code).toBe(2);
    expect(stderr.trim().split('\n')).toEqual([
      expect.stringMatching(/^tim-mirror: TIM_CALLS_PER_SECOND must be/),
      expect.stringMatching(/^tim-mirror: HTTP_PORT must be/),
      expect.stringMatching(/^tim-mirror: POLL_MIN_INTERVAL is not a duration/),
    ]);
  });
});

test('every command has a help with an example, and --version prints the version', async () => {
  for (const command of [
    ['migrate'],
    ['accounts', 'import'],
    ['accounts', 'sync'],
    ['accounts', 'add'],
    ['accounts', 'remove'],
    ['start'],
    ['status'],
    ['sync'],
    ['fetch'],
    ['simulator'],
    ['plan'],
  ]) {
    const { code, stdout } = await run([...command, '--help']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/Examples:\n {2}.*tim-mirror/);
  }
  expect((await run(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  expect((await run(['--help'])).stdout).toContain('DATABASE_URL');
});

describe('migrate', () => {
  test('says what it did, and that there is nothing more to do', async () => {
    expect(await run(['migrate'])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^schema is at \d+: nothing to do\n$/),
    });
  });

  test('a database that is not there is named', async () => {
    const url = new URL(world.database.url);
    url.pathname = '/no_such_database';
    const { code, stderr } = await run(['migrate'], { DATABASE_URL: url.href });
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: 'tim-mirror: Postgres has no such database (3D000); create it, or correct DATABASE_URL.\n',
    });
  });
});

describe('accounts', () => {
  test('import reads a file, reports bad lines, and changes nothing the second time', async () => {
    const list = file('list.txt', 'alice\nbob\n张三\n\ncarol\nalice\n');
    const first = await run(['accounts', 'import', list]);
    expect(first.code).toBe(0);
    expect(first.stdout).toMatch(/^3 accounts enrolled, 1 were known, 1 bad lines left out/);
    expect(first.stderr).toContain('line 3 has characters other than printable ASCII; it is left out\n');
    expect((await run(['accounts', 'import', list])).stdout).toMatch(/^0 accounts enrolled, 4 were known/);
    expect(await enrolled()).toEqual(['alice', 'bob', 'carol']);
  });

  test('import reads CSV and NDJSON, from a file or from standard input', async () => {
    expect((await run(['accounts', 'import', '-'], {}, 'name,account_id\nx,dave\n')).stdout).toMatch(
      /^1 accounts enrolled/,
    );
    expect((await run(['accounts', 'import', file('l.ndjson', '{"account_id":"eve"}\n')])).stdout).toMatch(
      /^1 accounts/,
    );
    expect(await enrolled()).toEqual(['alice', 'bob', 'carol', 'dave', 'eve']);
  });

  test('import of an empty list, or of one of nonsense, fails', async () => {
    for (const list of ['', '\n', 'account_id\n', '张三\n李四\n'])
      expect(await run(['accounts', 'import', '-'], {}, list)).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('No line of the list holds an account.'),
      });
  });

  test.each([[['import', '-']], [['remove', '--file', '-']]])(
    '%j of a table whose columns are not known enrols and removes no account',
    async (args) => {
      const before = await enrolled();
      expect(await run(['accounts', ...args], {}, 'key,name\n1,Alice\n')).toMatchObject({
        code: 2,
        stdout: '',
        stderr: expect.stringContaining('The first line has the columns "key", "name"'),
      });
      expect(await enrolled()).toEqual(before);
    },
  );

  test('remove of a list that names no enrolled account fails', async () => {
    const { code, stderr } = await run(['accounts', 'remove', '--file', '-'], {}, 'stranger\n');
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringContaining('No account of the list is enrolled'),
    });
  });

  test('add and remove', async () => {
    expect((await run(['accounts', 'add', 'frank', 'alice'])).stdout).toBe(
      '1 accounts enrolled, 1 were known\n',
    );
    expect((await run(['accounts', 'remove', 'frank', 'stranger'])).stdout).toBe(
      '1 accounts removed, 1 were not enrolled\n',
    );
    const gone = file('gone.txt', 'dave\neve\n');
    expect((await run(['accounts', 'remove', '--file', gone, '--purge'])).stdout).toBe(
      '2 accounts removed, 2 purged with all their past\n',
    );
    expect(await enrolled()).toEqual(['alice', 'bob', 'carol']);
  });
});

describe('fetch', () => {
  const fetchAlice = async (...options: string[]) => {
    const { stdout, code } = await run(['fetch', 'alice', ...options]);
    return { code, answer: JSON.parse(stdout) };
  };

  beforeAll(() => giveGroups('alice'));

  test('shows the answer as it came', async () => {
    expect(await fetchAlice()).toEqual({
      code: 0,
      answer: {
        ResultItem: [
          { GroupName: '家人', FriendNumber: 1, To_Account: ['bob'] },
          { GroupName: '同事', FriendNumber: 1, To_Account: ['carol'] },
        ],
        CurrentSequence: 2,
        ActionStatus: 'OK',
        ErrorCode: 0,
        ErrorInfo: '',
        ErrorDisplay: '',
      },
    });
  });

  test('with a sequence, with named groups, without members', async () => {
    expect((await fetchAlice('--since', '2')).answer.ResultItem).toBeUndefined();
    expect((await fetchAlice('--group', '同事')).answer.ResultItem).toEqual([
      { GroupName: '同事', FriendNumber: 1, To_Account: ['carol'] },
    ]);
    expect((await fetchAlice('--no-members')).answer.ResultItem).toEqual([
      { GroupName: '家人', FriendNumber: 1 },
      { GroupName: '同事', FriendNumber: 1 },
    ]);
  });

  test('shows the vendor’s error too, and exits 1', async () => {
    const { code, stdout, stderr } = await run(['fetch', 'stranger']);
    expect(code).toBe(1);
    expect(JSON.parse(stdout).ErrorCode).toBe(30003);
    expect(stderr).toMatch(/^tim-mirror: The vendor reports error 30003 \(.+\)\.\n$/);
  });

  test('an endpoint that nothing listens on is named', async () => {
    const { code, stderr } = await run(['fetch', 'alice'], { TIM_ENDPOINT: 'http://127.0.0.1:1' });
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: 'tim-mirror: The call failed: no answer from the vendor (ECONNREFUSED).\n',
    });
  });
});

describe('status and sync', () => {
  beforeAll(async () => {
    await world.addAccounts('alice', 'bob', 'carol');
    giveGroups('alice');
  });

  test('while no daemon runs, status says idle and sync says what to do', async () => {
    expect((await run(['status'])).stdout).toMatch(/app 1400000000: IDLE.*tim-mirror start/);
    expect(await run(['status', '--check', '--max-age', '2h'])).toEqual({
      code: 1,
      stdout:
        'app 1400000000: Nothing is polled: no daemon is connected to this database.\n' +
        'app 1400000000: 3 of 3 accounts have never been read; the target is 2.0 h.\n',
      stderr: 'tim-mirror: Not all is well.\n',
    });
    const { code, stdout } = await run(['sync', 'alice', 'stranger', '--timeout', '1s']);
    expect(code).toBe(1);
    expect(stdout).toContain('alice: not polled yet; is `tim-mirror start` running');
    expect(stdout).toContain('stranger: not enrolled; enrol it with `tim-mirror accounts add stranger`');
  });

  test('while one runs, sync shows what came of it, and status the figures', async () => {
    await using _running = await startTestDaemon({
      vendor: world.vendor,
      databaseUrl: world.database.url,
      env: { POLL_MIN_INTERVAL: '1h', POLL_MAX_INTERVAL: '24h' },
    });
    const everybodyRead = () =>
      waitFor('all accounts to be read and none to be first in the queue', async () => {
        const { rows } = await sql`
          select from mirror.poll_state
          where due_v = '-infinity' or leased_until is not null or verified_at is null
        `.execute(world.db);
        return rows.length === 0;
      });
    await everybodyRead();
    expect(await run(['sync', 'alice', 'bob'])).toMatchObject({
      code: 0,
      stdout: 'alice: as it was, 2 groups, sequence 2\nbob: as it was, 0 groups, sequence 0\n',
    });
    await everybodyRead();
    expect(await run(['status', '--check', '--max-age', '2h'])).toEqual({
      code: 0,
      stdout: 'All is well.\n',
      stderr: '',
    });
    world.vendor.truth.change('alice', { kind: 'remove_group', group: '同事' });
    expect((await run(['sync', 'alice'])).stdout).toBe('alice: changed, now 1 groups, sequence 3\n');
    expect((await run(['sync', 'alice'])).stdout).toBe('alice: as it was, 1 groups, sequence 3\n');
    world.vendor.setFaults([{ kind: 30006, probability: 1 }]);
    expect(await run(['sync', 'carol'])).toMatchObject({
      code: 1,
      stdout: 'carol: failed, 30006 simulated 30006\n',
    });

    const status = JSON.parse((await run(['status', '--json'])).stdout);
    expect(status.apps).toHaveLength(1);
    expect(status.build).toMatchObject({ version: expect.stringMatching(/^\d/), node: process.version });
    expect(status.apps[0].interval.minHolds).toBe(true);
    expect(status.apps[0]).toMatchObject({
      appId: 1_400_000_000,
      state: 'polling',
      halt: null,
      accounts: { total: 3, quarantined: 0, gone: 0 },
      calls: { limit: 190 },
      failures: [{ code: 30006, accounts: 1 }],
    });
    const { stdout } = await run(['status']);
    expect(stdout).toContain('app 1400000000: polling\n');
    expect(stdout).toMatch(/reason +1 accounts: transient 30006 “simulated 30006”/);
    world.vendor.setFaults([]);
  });
});

describe('with a key that is not the app’s', () => {
  const wrong = { TIM_SECRET_KEY: 'another-key-0123456789' };
  const remedy =
    /^tim-mirror: The vendor reports error 70003 \(.*refused\)\. The signature is refused: TIM_SECRET_KEY does not belong to TIM_SDK_APP_ID\.\n$/;

  // `verify` reads accounts that have been read before.
  beforeAll(async () => {
    await world.addAccounts('alice');
    await world.poll('alice');
  });

  test.each([
    [['fetch', 'alice']],
    [['probe', 'alice']],
    [['verify']],
    [['verify', '--sample', '1', '--json']],
  ])('%j says what to do, with the vendor’s words and without the signature', async (args) => {
    const { code, stdout, stderr } = await run(args, wrong);
    expect(stderr).toMatch(remedy);
    expect(code).toBe(1);
    expect(stdout + stderr).not.toMatch(/eJ[\w*-]{20}/);
  });

  test('fetch shows the vendor’s answer too', async () => {
    const { stdout } = await run(['fetch', 'alice'], wrong);
    expect(JSON.parse(stdout)).toMatchObject({ ActionStatus: 'FAIL', ErrorCode: 70003 });
  });

  test('sync says what to do while the app is halted', async () => {
    await haltApp(world.db, {
      appId: testApp.appId,
      kind: 'credentials',
      code: 70003,
      message: 'signature refused',
      pauseMs: 1000,
    });
    const { code, stderr } = await run(['sync', 'alice', '--timeout', '1s']);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr:
        'tim-mirror: 1 of 1 accounts were not read. The vendor refuses the app with error 70003 (signature refused). ' +
        'The signature is refused: TIM_SECRET_KEY does not belong to TIM_SDK_APP_ID.\n',
    });
    await resumeApp(world.db, testApp.appId);
  });
});

test('the simulator answers for itself until it is asked to end', async () => {
  const simulator = runCommand(['simulator', '--port', '0', '--accounts', '20', '--changes', '0'], env);
  while (!simulator.said().includes('control/truth')) await new Promise((resolve) => setTimeout(resolve, 20));
  const variables = Object.fromEntries(
    [...simulator.said().matchAll(/(TIM_[A-Z_]+)=(\S+)/g)].map(([, name, value]) => [name, value ?? '']),
  );
  const { code, stdout } = await run(['fetch', 'user-00002'], variables);
  expect(code).toBe(0);
  expect(JSON.parse(stdout).ErrorCode).toBe(0);
  simulator.child.kill('SIGTERM');
  const ended = await simulator.ended;
  expect(ended.code).toBe(0);
  expect(ended.stdout).toContain('"calls":1');
});
