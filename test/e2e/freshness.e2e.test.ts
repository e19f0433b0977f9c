import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readLearning } from '../../db/queries/learning.ts';
import { reportLearning } from '../../src/status/learning-report.ts';
import { startTestDaemon } from '../support/daemon.ts';
import { createTestRedis, type TestRedis } from '../support/redis.ts';
import { waitFor } from '../support/wait-for.ts';
import { createWorld, testApp } from '../support/world.ts';

let redis: TestRedis;

beforeAll(async () => {
  redis = await createTestRedis();
});

afterAll(async () => {
  await redis?.[Symbol.asyncDispose]();
});

const accounts = 1000;
const callsPerSecond = 10;
const changesPerSecond = 5;
const measured = 120;

test('of 1,000 accounts the lively 5 % are mirrored far sooner than round robin could at 10 calls a second', async () => {
  await using world = await createWorld({ callsPerSecond: 200 });
  const { vendor, random } = world;
  const ids = Array.from({ length: accounts }, (_, index) => `account-${index}`);
  await world.addAccounts(...ids);
  for (const id of ids) vendor.truth.change(id, { kind: 'add_group', group: '家人' });
  const lively = ids.slice(0, accounts / 20);
  const changed = new Map<string, number>();
  const mutate = () => {
    const friend = `friend-${changed.size}`;
    vendor.truth.change(random.pick(lively), { kind: 'add_members', group: '家人', members: [friend] });
    changed.set(friend, world.deps.now());
  };
  const timer = setInterval(mutate, 1000 / changesPerSecond);
  const daemonOf = (rate: number) =>
    startTestDaemon({
      vendor,
      databaseUrl: world.database.url,
      redisUrl: redis.url,
      env: {
        TIM_CALLS_PER_SECOND: String(rate),
        POLL_MIN_INTERVAL: '1s',
        POLL_MAX_INTERVAL: '24h',
        LOG_LEVEL: 'info',
      },
    });
  try {
    // The first read, and getting to know who is lively, at full budget.
    const warmingUp = await daemonOf(199);
    await waitFor('accounts to be read again', () => vendor.stats().calls > 1.5 * accounts, 150_000);
    await warmingUp.daemon.stop();

    await using _running = await daemonOf(callsPerSecond);
    const begun = vendor.stats().calls;
    await waitFor('the daemon to poll', () => vendor.stats().calls > begun + 2 * callsPerSecond);
    const first = changed.size;
    await waitFor('changes', () => changed.size >= first + measured, 120_000);
    clearInterval(timer);
    const ends = world.deps.now();
    const { rows } = await sql<{ friend: string; at: number }>`
      select friend_id as friend, extract(epoch from observed_at)::float8 * 1000 as at
      from tim.changes where kind = 'member_added'
    `.execute(world.db);
    const seen = new Map(rows.map(({ friend, at }) => [friend, at]));
    // One that is still missing has waited until now, at least.
    const delays = [...changed]
      .slice(first)
      .map(([friend, at]) => Math.max(0, (seen.get(friend) ?? ends) - at) / 1000);
    const meanDelay = delays.reduce((sum, delay) => sum + delay, 0) / delays.length;
    const roundRobin = accounts / (2 * callsPerSecond);
    expect(meanDelay / roundRobin).toBeLessThan(0.5);

    // What the polls have taught is kept so that one can see whether the estimates fit.
    const learnt = reportLearning(testApp.appId, await readLearning(world.db, testApp.appId));
    expect(learnt.polls).toBeGreaterThan(accounts / 2);
    expect(learnt.intervals.length).toBeGreaterThan(2);
  } finally {
    clearInterval(timer);
  }
}, 300_000);
