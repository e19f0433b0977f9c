import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { insertChanges } from '../../db/queries/groups.ts';
import { daemonEnvironment, runCommand } from '../support/daemon.ts';
import { waitFor } from '../support/wait-for.ts';
import { runWarm } from '../support/warm-command.ts';
import { createWorld, testApp, type World } from '../support/world.ts';

let world: World;
let env: Record<string, string>;
/** Between the first read and the second. */
let between: string;

beforeAll(async () => {
  world = await createWorld();
  env = daemonEnvironment({ vendor: world.vendor, databaseUrl: world.database.url });
  await world.addAccounts('alice', 'bob');
  const { truth } = world.vendor;
  truth.change('alice', { kind: 'add_group', group: '家人', members: ['x', 'y'] });
  truth.change('alice', { kind: 'add_group', group: 'work', members: ['z'] });
  await world.poll('alice');
  const reported = await runWarm(['groups', 'alice', '--json'], env);
  between = JSON.parse(reported.stdout).verifiedAt;
  truth.change('alice', { kind: 'rename_group', group: '家人', to: '亲人' });
  truth.change('alice', { kind: 'remove_members', group: 'work', members: ['z'] });
  await world.poll('alice');
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

const run = (...args: string[]) => runWarm(args, env);
const withoutTimes = (text: string) => text.replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ/g, 'TIME');

test('the only app of the database is taken where the environment names none', async () => {
  const { TIM_SDK_APP_ID: _, TIM_SECRET_KEY: _key, ...bare } = env;
  for (const args of [['groups', 'alice'], ['explain', 'alice'], ['changes']])
    expect(await runWarm(args, bare)).toMatchObject({ code: 0, stderr: '' });
  expect(await runWarm(['groups', 'alice', '--app', '7'], bare)).toMatchObject({
    code: 2,
    stderr: 'tim-mirror: App 7 is neither configured nor in the database; these are: 1400000000.\n',
  });
});

describe('groups', () => {
  test('prints groups and members as a table, Chinese names in line', async () => {
    const { code, stdout } = await run('groups', 'alice');
    expect(code).toBe(0);
    expect(withoutTimes(stdout).replace(/\(.* ago\)/, '(AGO)')).toBe(
      [
        'alice: 2 groups, 2 members, active, as of TIME (AGO)',
        'group  friends  since                 members',
        'work         0  TIME',
        '亲人         2  TIME  x, y',
        '',
      ].join('\n'),
    );
  });

  test('prints them as the mirror knew them at a moment, also as JSON', async () => {
    // Milliseconds are cut off microseconds, so a moment later.
    const at = new Date(Date.parse(between) + 1).toISOString();
    const { stdout } = await run('groups', 'alice', '--at', at);
    expect(withoutTimes(stdout)).toBe(
      [
        'alice: 2 groups, 3 members, as the mirror knew them at TIME',
        'group  friends  since                 members',
        'work         1  TIME  z',
        '家人         2  TIME  x, y',
        '',
      ].join('\n'),
    );
    const [then, now] = await Promise.all([
      run('groups', 'alice', '--json', '--at', at),
      run('groups', 'alice', '--json'),
    ]);
    expect(JSON.parse(then.stdout)).toMatchObject({
      ...{ appId: testApp.appId, accountId: 'alice', at },
      groups: [
        { name: 'work', friendNumber: null, members: ['z'] },
        { name: '家人', members: ['x', 'y'] },
      ],
    });
    expect(JSON.parse(now.stdout)).toMatchObject({
      at: null,
      status: 'active',
      groups: [
        { name: 'work', friendNumber: 0, members: [] },
        { name: '亲人', friendNumber: 2, members: ['x', 'y'] },
      ],
    });
  });

  test('of an account never polled, and of a stranger, now and then', async () => {
    const [bob, stranger, then] = await Promise.all([
      run('groups', 'bob'),
      run('groups', 'stranger'),
      run('groups', 'stranger', '--at', '1h'),
    ]);
    expect(bob.stdout).toBe('bob: 0 groups, 0 members, never polled\n');
    expect(stranger).toMatchObject({
      code: 1,
      stderr: 'tim-mirror: stranger is not enrolled; enrol it with: tim-mirror accounts add stranger\n',
    });
    expect(then).toMatchObject({ code: 1, stdout: '' });
  });
});

describe('changes', () => {
  const lines = [
    '+ work',
    '+ work / z',
    '+ 家人',
    '+ 家人 / x',
    '+ 家人 / y',
    '− work / z',
    '− 家人',
    '− 家人 / x',
    '− 家人 / y',
    '+ 亲人',
    '+ 亲人 / x',
    '+ 亲人 / y',
    '~ 家人 → 亲人',
  ];

  test('prints what came and went, of all or of one account, oldest first', async () => {
    const [all, one, late] = await Promise.all([
      run('changes'),
      run('changes', '--account', 'alice', '--json'),
      run('changes', '--since', '0s'),
    ]);
    const reported = all.stdout.trimEnd().split('\n');
    const texts = reported.map((line) => line.slice(line.indexOf('alice') + 20).trim());
    expect(texts.toSorted()).toEqual(lines.toSorted());
    expect(texts.at(-1)).toBe('~ 家人 → 亲人');
    expect(reported[0]).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ {2}alice {17}\+ /);
    const parsed = one.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(parsed).toHaveLength(lines.length);
    expect(parsed.at(-1)).toMatchObject({ kind: 'group_renamed', groupName: '亲人', oldGroupName: '家人' });
    expect(late).toMatchObject({ code: 0, stdout: '' });
  });

  test('followed, prints a change that is committed late, in its turn, and ends on Ctrl-C with exit code 0', async () => {
    const following = runCommand(['changes', '--follow', '--account', 'bob'], env);
    const { account_key: accountKey } = await world.db
      .selectFrom('mirror.account')
      .select('account_key')
      .where('account_id', '=', 'bob')
      .executeTakeFirstOrThrow();
    const of = { appId: testApp.appId, accountKey, sequence: null };
    const line = (groupName: string) => [{ kind: 'group_added' as const, groupName, friendId: null }];
    await world.db.transaction().execute(async (early) => {
      await insertChanges(early, { ...of, at: Date.now() }, line('早'));
      await world.db
        .transaction()
        .execute((late) => insertChanges(late, { ...of, at: Date.now() }, line('晚')));
      // Long enough for the follower to have looked.
      await waitFor('the follower to look', async () => {
        const { rows } = await sql`
          select from pg_stat_activity
          where datname = current_database() and query like '%tim.changes%limit%' and state = 'idle'
        `.execute(world.db);
        return rows.length > 0;
      });
      expect(following.said()).toBe('');
    });
    await waitFor('both to be reported', () => following.said().includes('晚'), 60_000);
    following.child.kill('SIGINT');
    const { code, stdout, stderr } = await following.ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.indexOf('早')).toBeLessThan(stdout.indexOf('晚'));
  });

  test('read by a program that goes away ends quietly', async () => {
    const following = runCommand(['changes', '--follow', '--account', 'alice'], env);
    await waitFor('the first lines', () => following.said().includes('→'));
    following.child.stdout?.destroy();
    await world.vendor.truth.change('alice', { kind: 'add_group', group: 'new' });
    await world.poll('alice');
    expect(await following.ended).toMatchObject({ code: 0, stderr: '' });
  });
});
