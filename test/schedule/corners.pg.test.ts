import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mean } from '../../bench/support/statistics.ts';
import { readApps } from '../../db/queries/apps.ts';
import { countQueue } from '../../db/queries/count-queue.ts';
import { rateRule } from '../../src/schedule/policy.ts';
import { effectiveMaxIntervalSeconds } from '../../src/schedule/queue-stats.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createRunningQueue, longestWaits, type RunningQueueOptions } from '../support/running-queue.ts';
import { testSeed } from '../support/world.ts';

let database: TestDatabase;
let nextApp = 1;

beforeAll(async () => {
  database = await createTestDatabase();
});

afterAll(async () => {
  await database?.[Symbol.asyncDispose]();
});

function createQueue(options: Omit<RunningQueueOptions, 'db' | 'appId' | 'seed'>) {
  const appId = nextApp;
  nextApp += 1;
  return createRunningQueue({ ...options, db: database.db, appId, seed: testSeed() });
}

/** The quantile of a standard normal distribution, to within 0.01 (Tukey's lambda). */
const standardNormal = (share: number) => (share ** 0.135 - (1 - share) ** 0.135) / 0.1975;
/** One in ten changes every quarter of an hour, the others hardly ever. */
const lively = (index: number) => (index % 10 === 0 ? 96 : 0.01);

describe('on the production statements', () => {
  test('a budget cut to a quarter makes all accounts wait in proportion, and none longer', async () => {
    const queue = await createQueue({
      accounts: 200,
      changesPerDay: lively,
      callsPerSecond: 0.1,
      watchedDays: 20,
    });
    await queue.run(24_000, 200);
    const before = longestWaits(await queue.run(18_000, 100));
    queue.setBudget(0.025);
    await queue.run(12_000, 400);
    const after = longestWaits(await queue.run(72_000, 400));
    const ratios = [...before].flatMap(([index, wait]) => {
      const now = after.get(index);
      return now === undefined ? [] : [now / wait];
    });
    expect(before.size).toBe(200);
    expect(ratios.length).toBeGreaterThan(195);
    expect(mean(ratios)).toBeGreaterThan(3);
    expect(mean(ratios)).toBeLessThan(5);
    // Jitter of a tenth each way, steps of a thirtieth, and estimates that move.
    expect(Math.max(...ratios)).toBeLessThan(4 * 1.8);
  });

  test('after an outage of hours the queue goes on in its order, without a rush', async () => {
    const queue = await createQueue({
      accounts: 200,
      changesPerDay: lively,
      callsPerSecond: 2,
      watchedDays: 20,
    });
    await queue.run(300, 5);
    const { rows: order } = await sql<{ id: string }>`
      select account_id as id from mirror.poll_state join mirror.account using (account_key)
      where poll_state.app_id = ${nextApp - 1} order by due_v
    `.execute(database.db);
    await queue.pause(3 * 3600);
    const polls = await queue.run(25, 5);
    // Ten places a step, as ever.
    expect(polls).toHaveLength(50);
    const first = order.slice(0, 10).map(({ id }) => Number(id.slice(-6)));
    expect(polls.slice(0, 10).map(({ index }) => index)).toEqual(first);
    expect(new Set(polls.map(({ index }) => index)).size).toBeGreaterThan(25);
  });

  test('a budget that is more than enough reads every account at POLL_MIN_INTERVAL, however seldom it changes', async () => {
    // Three in four asleep, the others five a day on average, lognormal with sigma 2: the middle of each thousandth.
    const changesPerDay = (index: number) =>
      index % 4 === 0 ? 5 * Math.exp(2 * standardNormal((index + 2) / 1004) - 2) : 0.005;
    const queue = await createQueue({ accounts: 1000, changesPerDay, callsPerSecond: 195, watchedDays: 20 });
    // Their places were given for five minutes.
    await queue.run(300, 5);
    await queue.run(30, 1);
    const polls = await queue.run(60, 1);
    expect(polls.length / 60).toBeGreaterThan(90);
    expect(polls.length / 60).toBeLessThanOrEqual(100);
    const waits = longestWaits(polls);
    expect(waits.size).toBe(1000);
    expect(Math.max(...waits.values())).toBeLessThanOrEqual(11);
  });

  test('new accounts by the hundred do not starve those that are known, and are all read', async () => {
    const queue = await createQueue({
      accounts: 50,
      changesPerDay: () => 96,
      callsPerSecond: 2,
      watchedDays: 20,
    });
    const calm = longestWaits(await queue.run(400, 5));
    await sql`
      with crowd as (
        insert into mirror.account (app_id, account_id)
        select ${nextApp - 1}, 'new-' || n from generate_series(1, 500) n returning account_key
      )
      insert into mirror.poll_state (account_key, app_id, due_v)
      select account_key, ${nextApp - 1}, virtual_clock from crowd, mirror.app where app_id = ${nextApp - 1}
    `.execute(database.db);
    const crowded = longestWaits(await queue.run(400, 5));
    // A fifth of the budget is theirs, and new accounts share it once they are read: a mean wait of 26 s becomes 180 s.
    // Without that fifth every one of them would wait for the whole crowd.
    const crowdSeconds = 500 / 2;
    expect(crowded.size).toBe(50);
    expect(mean(calm.values())).toBeLessThan(30);
    expect(Math.max(...crowded.values())).toBeLessThan(crowdSeconds);
    const { rows } = await sql<{ unread: number }>`
      select count(*) as unread from mirror.poll_state where app_id = ${nextApp - 1} and first_polled_at is null
    `.execute(database.db);
    expect(rows[0]?.unread).toBe(0);
  });

  test('POLL_MIN_INTERVAL is kept, however plentiful the budget and however lively the account', async () => {
    const queue = await createQueue({
      accounts: 20,
      changesPerDay: () => 5000,
      callsPerSecond: 195,
      watchedDays: 20,
      intervalSeconds: { min: 600, max: 600 },
    });
    const polls = await queue.run(1800, 10);
    // One at the start, the next after ten to twenty minutes, and then every ten or eleven.
    expect(polls.length).toBeGreaterThan(20 * 2);
    expect(polls.length).toBeLessThanOrEqual(20 * 4);
  });

  test('POLL_MAX_INTERVAL gives way to the budget: it takes half of it and leaves the rest to the lively', async () => {
    const queue = await createQueue({
      accounts: 200,
      changesPerDay: lively,
      callsPerSecond: 0.1,
      watchedDays: 20,
      intervalSeconds: { max: 1200 },
    });
    expect(effectiveMaxIntervalSeconds(queue.queue())).toBe(4000);
    await queue.run(12_000, 100);
    const polls = await queue.run(18_000, 100);
    const share = polls.filter(({ index }) => index % 10 === 0).length / polls.length;
    expect(share).toBeGreaterThan(0.3);
    const waits = longestWaits(polls);
    expect(waits.size).toBe(200);
    expect(Math.max(...waits.values())).toBeLessThan(6000);
  });

  test('the sum of weights follows when accounts are removed by the hundred thousand', async () => {
    const appId = nextApp;
    nextApp += 1;
    await createRunningQueue({ db: database.db, appId, accounts: 1, callsPerSecond: 190, seed: 1 });
    await sql`
      with crowd as (
        insert into mirror.account (app_id, account_id)
        select ${appId}, 'many-' || n from generate_series(1, 240000) n returning account_key
      )
      insert into mirror.poll_state (account_key, app_id, due_v, weight)
      select account_key, ${appId}, 0, 2 from crowd
    `.execute(database.db);
    await sql`analyze mirror.poll_state`.execute(database.db);
    const sum = async () => {
      await countQueue(database.db, appId, rateRule);
      return (await readApps(database.db)).find((app) => app.appId === appId)?.weightSum ?? 0;
    };
    expect(await sum()).toBeGreaterThan(480_000 * 0.9);
    await sql`
      delete from mirror.poll_state using mirror.account
      where account.account_key = poll_state.account_key and account.app_id = ${appId} and account.account_key % 3 > 0
    `.execute(database.db);
    const left = await sum();
    expect(left).toBeGreaterThan(160_000 * 0.9);
    expect(left).toBeLessThan(160_000 * 1.1);
  });
});
