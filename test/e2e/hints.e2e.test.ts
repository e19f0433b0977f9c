import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { readStatus } from '../../src/status/read-status.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { waitFor } from '../support/wait-for.ts';
import { createWorld, testApp, type World } from '../support/world.ts';

const signing = { WEBHOOK_TOKEN: 'the-webhook-token-of-the-tests' };
/** Accounts are read once and then not again for an hour, unless something says that they have changed. */
const seldom = { POLL_MIN_INTERVAL: '1h', POLL_MAX_INTERVAL: '24h' };

function startSeldom(world: World, env: Record<string, string> = {}): Promise<TestDaemon> {
  return startTestDaemon({
    vendor: world.vendor,
    databaseUrl: world.database.url,
    env: { ...signing, ...seldom, ...env },
  });
}

async function callBack(running: TestDaemon, command: string, body: object): Promise<void> {
  const time = Math.floor(Date.now() / 1000);
  const sign = createHash('sha256').update(`${signing.WEBHOOK_TOKEN}${time}`).digest('hex');
  const url = `${running.daemon.http.url}/hooks/tim?SdkAppid=${testApp.appId}&CallbackCommand=${command}&Sign=${sign}&RequestTime=${time}`;
  const answer = await fetch(url, { method: 'POST', body: JSON.stringify(body) });
  expect(await answer.json()).toEqual({ ActionStatus: 'OK', ErrorCode: 0, ErrorInfo: '' });
}

async function appOf(world: World) {
  const [app] = (await readStatus(world.db)).apps;
  if (app === undefined) throw new Error('no app');
  return app;
}

const isRead = (world: World, accounts: number) =>
  waitFor(`${accounts} accounts to be read`, async () => (await appOf(world)).accounts.active === accounts);

const membersOf = async (world: World, id: string): Promise<readonly string[]> => {
  const rows = await world.db
    .selectFrom('tim.friend_group_members')
    .select('friend_id')
    .where('account_id', '=', id)
    .orderBy('friend_id')
    .execute();
  return rows.map((row) => row.friend_id ?? '');
};

test('accounts that a callback names are in the mirror within moments, and unknown ones are counted', async () => {
  await using world = await createWorld({ callsPerSecond: 200 });
  const ids = Array.from({ length: 50 }, (_, index) => `user-${index}`);
  await world.addAccounts(...ids);
  for (const id of ids) world.vendor.truth.change(id, { kind: 'add_group', group: '朋友', members: ['one'] });
  await using running = await startSeldom(world);
  await isRead(world, 50);
  const calls = world.vendor.stats().calls;

  world.vendor.truth.change('user-7', { kind: 'add_group', group: '同事', members: ['new'] });
  world.vendor.truth.change('user-8', { kind: 'add_group', group: '同事', members: ['new'] });
  await callBack(running, 'Sns.CallbackFriendAdd', {
    PairList: [
      { From_Account: 'user-7', To_Account: 'user-8' },
      { From_Account: 'stranger', To_Account: 'user-7' },
    ],
  });
  for (const id of ['user-7', 'user-8']) {
    await waitFor(`${id}'s new group`, async () => (await membersOf(world, id)).includes('new'));
  }
  // These two, and perhaps one that was read a moment before for the first time.
  expect(world.vendor.stats().calls - calls).toBeLessThanOrEqual(4);

  world.vendor.truth.change('user-9', { kind: 'remove_group', group: '朋友' });
  world.vendor.truth.change('user-9', { kind: 'add_group', group: '家人', members: ['one', 'two'] });
  await callBack(running, 'State.StateChange', { Info: { Action: 'Logout', To_Account: 'user-9' } });
  await waitFor('user-9', async () => (await membersOf(world, 'user-9')).length === 2);
  await waitFor('the counts', async () => {
    const { hints } = await appOf(world);
    return hints.unknown === 1 && hints.accounts === 3;
  });
  expect((await appOf(world)).accounts.total).toBe(50);
});

test('with DISCOVER_ACCOUNTS accounts that callbacks and answers name are enrolled, and those of theirs', async () => {
  await using world = await createWorld({ callsPerSecond: 200 });
  await world.addAccounts('ann');
  // A chain: each is known from the groups of the one before.
  const chain = ['ann', 'bob', '陈', 'cat', 'dan', 'eve'];
  for (const [index, id] of chain.entries()) {
    world.vendor.truth.addAccount(id);
    const next = chain[index + (chain[index + 1] === '陈' ? 2 : 1)];
    const members = [...(next === undefined ? [] : [next]), ...(id === 'ann' ? ['陈'] : [])];
    world.vendor.truth.change(id, { kind: 'add_group', group: '朋友', members });
  }
  for (const id of ['hermit', 'visitor']) world.vendor.truth.addAccount(id);
  await using running = await startSeldom(world, { DISCOVER_ACCOUNTS: 'true' });
  // A UserID is printable ASCII, so one that is not is no account.
  await isRead(world, 5);
  await callBack(running, 'Sns.CallbackFriendAdd', {
    PairList: [{ From_Account: 'visitor', To_Account: 'ann' }],
  });
  await isRead(world, 6);
  expect(await membersOf(world, 'ann')).toEqual(['bob', '陈']);
  const enrolled = await world.db
    .selectFrom('tim.accounts')
    .select('account_id')
    .orderBy('account_id')
    .execute();
  expect(enrolled.map((row) => row.account_id)).toEqual(['ann', 'bob', 'cat', 'dan', 'eve', 'visitor']);
});

test('a warning of the limit makes the app send less for a minute, and is reported', async () => {
  await using world = await createWorld({ callsPerSecond: 200 });
  const ids = Array.from({ length: 200 }, (_, index) => `user-${index}`);
  await world.addAccounts(...ids);
  await using running = await startTestDaemon({
    vendor: world.vendor,
    databaseUrl: world.database.url,
    env: { ...signing, POLL_MIN_INTERVAL: '100ms', POLL_MAX_INTERVAL: '1s' },
  });
  const calls = () => world.vendor.stats().calls;
  await waitFor('polls', () => calls() > 200);
  await callBack(running, 'Alert.RequestOverLimit', { ServiceName: 'sns', Command: 'friend_get' });
  // However often it is said.
  const warning = { ServiceName: 'sns', Command: 'group_get', Request: 1000, Limit: 200 };
  await Promise.all(Array.from({ length: 100 }, () => callBack(running, 'Alert.RequestOverLimit', warning)));
  const { slowed } = (
    await waitFor('the warning to be stored', async () => {
      const app = await appOf(world);
      return app.calls.slowed !== null && app;
    })
  ).calls;
  expect(slowed).toMatchObject({ callsPerSecond: 95 });
  await waitFor('the app to send less', async () => {
    const [from, began] = [calls(), performance.now()];
    await waitFor('sixty calls', () => calls() - from >= 60);
    return ((calls() - from) * 1000) / (performance.now() - began) < 110;
  });
  const reported = running.logLines().filter((line) => line.includes('the vendor warns of the limit'));
  expect(reported.length).toBeGreaterThan(0);
  expect(reported.length).toBeLessThan(10);
  expect(running.logLines().join('\n')).not.toContain('friend_get');
});

test('a flood of callbacks is answered, forgets nothing that polling needs, and leaves the others their turn', async () => {
  await using world = await createWorld({ callsPerSecond: 200 });
  const ids = Array.from({ length: 400 }, (_, index) => `user-${index}`);
  await world.addAccounts(...ids);
  await using running = await startTestDaemon({
    vendor: world.vendor,
    databaseUrl: world.database.url,
    env: { ...signing, POLL_MIN_INTERVAL: '1s', POLL_MAX_INTERVAL: '4s' },
  });
  await isRead(world, 400);
  // Unknown names by the ten thousand, and those of half of our accounts.
  const flood = Array.from({ length: 2000 }, (_, index) => ({
    PairList: Array.from({ length: 10 }, (__, pair) => ({
      From_Account: `stranger-${index * 10 + pair}`,
      To_Account: `user-${(index + pair) % 200}`,
    })),
  }));
  const since = new Date();
  await Promise.all(
    Array.from({ length: 20 }, async (_, worker) => {
      for (let index = worker; index < flood.length; index += 20) {
        await callBack(running, 'Sns.CallbackFriendAdd', flood[index] ?? {});
      }
    }),
  );
  // Also those that no callback has named are polled on.
  await waitFor('all accounts to be polled since', async () => {
    const { left } = await world.db
      .selectFrom('mirror.poll_state')
      .select((eb) => eb.fn.countAll<number>().as('left'))
      .where('verified_at', '<', since)
      .executeTakeFirstOrThrow();
    return left === 0;
  });
  expect((await appOf(world)).accounts).toMatchObject({ total: 400, active: 400, failing: 0 });
  const metrics = await (await fetch(`${running.daemon.http.url}/metrics`)).text();
  const value = (name: string) =>
    Number(new RegExp(`^${name}\\{[^}]*app="${testApp.appId}"[^}]*\\} (\\d+)$`, 'm').exec(metrics)?.[1]);
  expect(value('tim_mirror_callbacks_total')).toBe(2000);
  // What found no room is reported.
  expect(value('tim_mirror_forgotten_hints_total')).toBeGreaterThanOrEqual(0);
  expect(world.vendor.stats().worstSecond).toBeLessThanOrEqual(200);
});
