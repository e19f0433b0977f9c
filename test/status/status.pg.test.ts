import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { enrolAccounts } from '../../db/queries/accounts.ts';
import { addActivity, refusedEvent } from '../../db/queries/activity.ts';
import { ensureApp, storeIntervals } from '../../db/queries/apps.ts';
import { countQueue } from '../../db/queries/count-queue.ts';
import { slowApp } from '../../db/queries/hints.ts';
import { addLearning, readLearning } from '../../db/queries/learning.ts';
import { expectedChanges, rateRule } from '../../src/schedule/policy.ts';
import { createRandom } from '../../src/simulator/random.ts';
import { formatStatus } from '../../src/status/format-status.ts';
import { readStats } from '../../src/status/read-stats.ts';
import { readStatus } from '../../src/status/read-status.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { testSeed } from '../support/world.ts';

const appId = 1;
const accounts = 500;
let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
  await ensureApp(database.db, { appId, callsPerSecond: 2 });
  const ids = Array.from({ length: accounts }, (_, index) => `account-${String(index).padStart(4, '0')}`);
  await enrolAccounts(database.db, appId, ids);
});

afterAll(async () => {
  await database?.[Symbol.asyncDispose]();
});

const statusNow = async () => {
  await countQueue(database.db, appId, rateRule);
  const status = await readStatus(database.db);
  const [app] = status.apps;
  if (app === undefined) throw new Error('no app');
  return { app, text: formatStatus(status) };
};

describe('the status', () => {
  test('reports the writes that Postgres refused by class of SQLSTATE, with what to do, and does not take them for polls', async () => {
    const at = Date.now() - 60_000;
    await addActivity(database.db, [
      { appId, event: refusedEvent('57'), count: 2, at },
      { appId, event: refusedEvent('55'), count: 10, at },
      { appId, event: 'storage_failed', count: 10, at },
    ]);
    const { app, text } = await statusNow();
    expect(app.refusedWrites).toMatchObject([
      { sqlstate: '55', writes: 10, advice: expect.stringContaining('publication') },
      { sqlstate: '57', writes: 2, advice: expect.stringContaining('statement_timeout') },
    ]);
    expect(app.outcomes).toEqual({ storage_failed: 10 });
    expect(app.problems).toContainEqual(expect.stringContaining('Postgres refuses to store answers'));
    expect(text).toMatch(/refused +10 writes in 15 min, SQLSTATE class 55: /);
    await sql`delete from mirror.activity`.execute(database.db);
  });

  test('begins with it when most calls fail: since when, how many accounts, and why', async () => {
    const now = Date.now();
    await sql`update mirror.app set dispatched_at = clock_timestamp()`.execute(database.db);
    await sql`
      update mirror.poll_state set fail_count = 1
      where account_key in (select account_key from mirror.poll_state order by account_key limit 480)
    `.execute(database.db);
    await sql`
      insert into mirror.poll_outcome (account_key, claim_no, outcome, code, message)
      select account_key, 1, 'transient', 0, 'connect ECONNREFUSED' from mirror.poll_state where fail_count = 1
    `.execute(database.db);
    const minutesAgo = (minutes: number) => now - minutes * 60_000;
    await addActivity(database.db, [
      { appId, event: 'unchanged', count: 100, at: minutesAgo(20) },
      ...Array.from({ length: 90 }, (_, bucket) => ({
        ...{ appId, event: 'transient', count: 20 },
        at: minutesAgo(15) + bucket * 10_000,
      })),
      { appId, event: 'unchanged', count: 3, at: minutesAgo(10) },
      { appId, event: 'unchanged', count: 3, at: minutesAgo(0.5) },
    ]);
    const { app, text } = await statusNow();
    expect(app.state).toBe('failing');
    expect(app.vendorFailing).toMatchObject({ accounts: 480, reason: 'connect ECONNREFUSED' });
    expect(now - Date.parse(app.vendorFailing?.since ?? '')).toBeGreaterThan(14 * 60_000);
    expect(now - Date.parse(app.vendorFailing?.since ?? '')).toBeLessThan(16 * 60_000);
    expect(app.problems[0]).toMatch(
      /^Most calls to the vendor fail since .*: 480 of 500 accounts .*ECONNREFUSED/,
    );
    expect(text.split('\n')[0]).toMatch(/^app 1: VENDOR FAILING since .*480 of 500 accounts .*ECONNREFUSED/);

    await addActivity(database.db, [{ appId, event: 'unchanged', count: 500, at: minutesAgo(0.3) }]);
    expect((await statusNow()).app).toMatchObject({ state: 'polling', vendorFailing: null });
    await sql`delete from mirror.activity`.execute(database.db);
    await sql`delete from mirror.poll_outcome`.execute(database.db);
    await sql`update mirror.poll_state set fail_count = 0`.execute(database.db);
    await sql`update mirror.app set dispatched_at = null`.execute(database.db);
  });

  test('of accounts never polled knows no delay, and says how long their first read takes', async () => {
    const { app, text } = await statusNow();
    expect(app.delay).toBeNull();
    expect(app.backlog).toEqual({ neverPolled: accounts, overdue: 0, seconds: accounts / 2 });
    expect(text).toContain('500 to read for the first time, 0 overdue');
  });

  test('reports the changes that are missing and the mean delay as the policy estimates them', async () => {
    const random = createRandom(testSeed());
    const now = Date.now();
    const known = Array.from({ length: accounts }, () => {
      const lastPolledAt = now - random.below(7_200_000);
      const firstPolledAt = lastPolledAt - random.below(20 * 86_400_000) - 1000;
      const lastChangedAt = firstPolledAt + random.below(lastPolledAt - firstPolledAt);
      return { decayedChanges: random.next() * 30, weight: 1, firstPolledAt, lastPolledAt, lastChangedAt };
    });
    await sql`
      update mirror.poll_state state set
        status = 'active', due_v = 1, change_mass = known.mass,
        first_polled_at = to_timestamp(known.first), verified_at = to_timestamp(known.last),
        changed_at = to_timestamp(known.changed)
      from mirror.account
      join unnest(
        ${known.map((each) => each.decayedChanges)}::float8[], ${known.map((each) => each.firstPolledAt / 1000)}::float8[],
        ${known.map((each) => each.lastPolledAt / 1000)}::float8[], ${known.map((each) => each.lastChangedAt / 1000)}::float8[]
      ) with ordinality as known (mass, first, last, changed, place)
        on account_id = 'account-' || lpad((place - 1)::text, 4, '0')
      where account.account_key = state.account_key
    `.execute(database.db);
    const missing = known.reduce((sum, each) => sum + (expectedChanges(each, now) ?? 0), 0);
    const { app, text } = await statusNow();
    expect(app.delay?.changesMissing).toBeGreaterThan(missing * 0.99);
    expect(app.delay?.changesMissing).toBeLessThan(missing * 1.05);
    expect(app.delay?.roundRobinSeconds).toBe(accounts / 4);
    // Accounts were read up to two hours ago; those that change most weigh most.
    expect(app.delay?.meanSeconds).toBeGreaterThan(2000);
    expect(app.delay?.meanSeconds).toBeLessThan(5200);
    // The metrics say the same.
    expect((await readStats(database.db, () => now))[0]?.delay).toEqual(app.delay);
    expect(text).toMatch(
      /delay +\d+ min from a change to the tables, on average, estimated \(round robin: 2 min\)/,
    );
  });

  test('says when POLL_MAX_INTERVAL gives way to the budget, and only then', async () => {
    expect((await statusNow()).text).not.toContain('POLL_MAX_INTERVAL');
    await storeIntervals(database.db, appId, { minSeconds: 1, maxSeconds: 60 });
    const { app, text } = await statusNow();
    expect(app.interval).toEqual({
      ...{ minSeconds: 1, maxSeconds: 60, effectiveMaxSeconds: 500 },
      minHolds: false,
    });
    expect(text).toContain('POLL_MAX_INTERVAL 60 s gives way to the budget: half of it allows 8 min');
  });
});

test('callbacks and the vendor’s warning are shown while they matter', async () => {
  expect((await statusNow()).text).not.toMatch(/hints|warned/);
  await addActivity(
    database.db,
    ['hinted', 'hint_unknown', 'discovered'].map((event, index) => ({
      ...{ appId, event, count: 1000 * (3 - index) },
      at: Date.now() - 60_000,
    })),
  );
  await addActivity(database.db, [
    { appId, event: 'discovery_left_out', count: 7, at: Date.now() - 60_000 },
    { appId, event: 'discovered_by_callback', count: 9, at: Date.now() - 60_000 },
  ]);
  await slowApp(database.db, appId, { callsPerSecond: 1, seconds: 60 });
  const { app, text } = await statusNow();
  expect(app.hints).toEqual({ accounts: 3000, unknown: 2000, discovered: 1000, leftOut: 7 });
  expect(app.outcomes).toEqual({});
  expect(text).toMatch(
    /hints +3,000 accounts put first in the queue in 15 min, 2,000 named that are not enrolled, 1,000 discovered, 7 left out, for DISCOVER_ACCOUNTS_PER_HOUR is reached/,
  );
  expect(text).toMatch(/of 2\/s allowed \(last minute\); the vendor warned: no more than 1\/s for (60|59) s/);
  expect(app.problems.join(' ')).toMatch(/The vendor warns .*1 calls a second instead of 2 .*under half/);
  expect(app.problems.join(' ')).toMatch(/DISCOVER_ACCOUNTS_PER_HOUR allows: 7 were left out/);
});

test('what is learnt adds up, from however many processes', async () => {
  const cell = { appId, intervalLog2: 5, expectedLog2: -3, step: 'one', polls: 2, expected: 0.25 };
  await Promise.all([
    addLearning(database.db, [cell, { ...cell, step: 'none' }]),
    addLearning(database.db, [{ ...cell, step: 'none' }, cell]),
  ]);
  expect(await readLearning(database.db, appId)).toEqual(
    expect.arrayContaining([
      { ...cell, polls: 4, expected: 0.5 },
      { ...cell, step: 'none', polls: 4, expected: 0.5 },
    ]),
  );
});
