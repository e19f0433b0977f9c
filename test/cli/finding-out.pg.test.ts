import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addAudit } from '../../db/queries/audit.ts';
import { holdRemovals } from '../../db/queries/held-removals.ts';
import { daemonEnvironment } from '../support/daemon.ts';
import { runWarm } from '../support/warm-command.ts';
import { createWorld, testApp, type World } from '../support/world.ts';

let world: World;
let env: Record<string, string>;

beforeAll(async () => {
  world = await createWorld();
  env = daemonEnvironment({ vendor: world.vendor, databaseUrl: world.database.url });
  await world.addAccounts('alice', 'bob');
  const { truth } = world.vendor;
  truth.change('alice', { kind: 'add_group', group: '家人', members: ['x', 'y'] });
  truth.change('alice', { kind: 'add_group', group: '同事', members: ['z'] });
  await world.poll('alice');
  await world.poll('bob');
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

const run = (...args: string[]) => runWarm(args, env);

describe('explain', () => {
  test('shows all that is known of an account, with its last outcomes in the vendor’s words', async () => {
    world.vendor.setFaults([{ kind: 30006, probability: 1 }]);
    await world.poll('alice');
    await world.poll('alice');
    world.vendor.setFaults([]);
    const { code, stdout } = await run('explain', 'alice');
    expect(code).toBe(0);
    expect(stdout).toContain('holds         2 groups, 3 members, sequence 2');
    expect(stdout).toMatch(/due .*it failed 2 times in a row and waits longer each time/);
    expect(stdout.match(/transient 30006: simulated 30006/g)).toHaveLength(2);
    expect(stdout).toContain('changed: +2 groups, +3 members');
    const reported = JSON.parse((await run('explain', 'alice', '--json')).stdout);
    expect(reported).toMatchObject({
      account: { accountId: 'alice', failCount: 2 },
      outcomes: { length: 3 },
    });
    await world.poll('alice');
  });

  test('says what to do about an account that is not enrolled', async () => {
    const { code, stderr } = await run('explain', 'stranger');
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: 'tim-mirror: stranger is not enrolled; enrol it with: tim-mirror accounts add stranger\n',
    });
  });
});

describe('verify', () => {
  test('finds everything equal, then distinguishes what changed since from what is wrong, and exits 1 for that', async () => {
    expect(await run('verify')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^2 accounts compared: 2 equal/),
    });
    world.vendor.truth.change('bob', { kind: 'add_group', group: 'new' });
    await sql`
      delete from mirror.friend_group_member where friend_id = 'y'
    `.execute(world.db);
    const { code, stdout, stderr } = await run('verify', '--sample', '10');
    expect(code).toBe(1);
    expect(stdout).toContain('alice: WRONG\n  + 家人 / y\n');
    expect(stdout).toContain('bob: changed since its last poll\n  + new\n');
    expect(stdout).toContain('2 accounts compared: 0 equal, 1 changed since their last poll, 1 wrong');
    expect(stderr).toContain('tim-mirror: The mirror of 1 accounts is wrong.');
    const lines = (await run('verify', '--json')).stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toContainEqual({ account: 'alice', outcome: 'wrong', differences: ['+ 家人 / y'] });
    expect(lines.at(-1)).toEqual({ checked: 2, equal: 0, stale: 1, wrong: 1, unread: 0 });
  });

  test('--acknowledge takes what was found wrong so far off the list of problems, and not what comes later', async () => {
    const problems = async () => (await run('status', '--check')).stdout;
    await addAudit(world.db, testApp.appId, { checked: 100, stale: 0, wrong: 2 });
    expect(await problems()).toMatch(
      /2 accounts were found to be wrong today or yesterday.*verify --acknowledge/,
    );
    expect(await run('verify', '--acknowledge')).toEqual({
      code: 0,
      stdout: '2 accounts that were found to be wrong are acknowledged; they alert no more.\n',
      stderr: '',
    });
    expect(await problems()).not.toMatch(/found to be wrong/);
    expect((await run('verify', '--acknowledge', '--json')).stdout).toBe('{"acknowledged":0}\n');
    await addAudit(world.db, testApp.appId, { checked: 100, stale: 0, wrong: 1 });
    expect(await problems()).toMatch(/1 accounts were found to be wrong/);
    expect(await run('verify', '--acknowledge', '--sample', '5')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/leave one of them out/),
    });
  });
});

describe('probe', () => {
  test('shows ten reads, the finding and what it means', async () => {
    const { calls } = world.vendor.stats();
    const { code, stdout } = await run('probe', 'alice');
    expect(code).toBe(0);
    expect(world.vendor.stats().calls - calls).toBe(10);
    expect(stdout).toMatch(/Finding: full\..*\n.*\n.*\nWhat it means:\n/);
  });

  test('of an account that the vendor does not know says so', async () => {
    const { code, stderr } = await run('probe', 'stranger');
    expect(code).toBe(1);
    expect(stderr).toMatch(/^tim-mirror: .*30003/);
  });
});

describe('removals', () => {
  test('that are held are listed, shown in the first lines of status, and let through', async () => {
    expect((await run('removals', 'release')).stdout).toBe('Removals are not held.\n');
    const trip = { shrunk: 30, read: 100, windowSeconds: 60 };
    await holdRemovals(world.db, testApp.appId, trip);
    world.vendor.truth.change('alice', { kind: 'remove_group', group: '同事' });
    expect((await world.poll('alice')).outcome).toBe('removal_held');

    const [list, json, status] = await Promise.all([
      run('removals', 'list'),
      run('removals', 'list', '--json'),
      run('status'),
    ]);
    expect(list.stdout).toContain('1 accounts would lose 1 groups and 1 members.');
    expect(list.stdout).toMatch(/alice +1 groups, 1 members/);
    expect(JSON.parse(json.stdout)).toMatchObject({ accounts: 1, members: 1, believed: { accounts: 0 } });
    expect(status.stdout.split('\n')[1]).toMatch(
      /REMOVALS HELD .*30 accounts shrank, of 100 read within 60 s/,
    );
    expect((await run('removals', 'release')).stdout).toMatch(/^The removals of 1 accounts are let through/);
    expect((await world.poll('alice')).outcome).toBe('changed');
    expect((await run('status')).stdout).not.toContain('HELD');
  });
});

describe('status --quarantined', () => {
  test('lists the accounts that are set aside with the vendor’s words', async () => {
    expect((await run('status', '--quarantined')).stdout).toBe('No account is quarantined.\n');
    world.vendor.setFaults([{ kind: 30001, probability: 1 }]);
    await world.poll('bob');
    world.vendor.setFaults([]);
    expect((await run('status', '--quarantined')).stdout).toMatch(
      /1400000000 +bob .*30001 simulated 30001\n$/,
    );
    expect((await world.poll('bob')).outcome).toBe('changed');
    expect((await run('status', '--quarantined', '--json')).stdout).toBe('[]\n');
  });
});
