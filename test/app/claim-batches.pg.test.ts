import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { enrolAccounts, requestPoll } from '../../db/queries/accounts.ts';
import { ensureApp, haltApp, probeNow, resumeApp } from '../../db/queries/apps.ts';
import { hintAccounts } from '../../db/queries/hints.ts';
import { recordPolls } from '../../db/queries/poll-records.ts';
import { claimBatches } from '../../src/app/claim-batches.ts';
import type { QueueStats } from '../../src/schedule/queue-stats.ts';
import { afterRead, releaseLease } from '../../src/sync/next-state.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

let database: TestDatabase;
let appId = 0;

const queue: QueueStats = {
  accounts: 100,
  weightSum: 100,
  callsPerSecond: 190,
  minIntervalSeconds: 30,
  maxIntervalSeconds: 86_400,
};

beforeAll(async () => {
  database = await createTestDatabase();
});

afterAll(async () => {
  await database?.[Symbol.asyncDispose]();
});

// Each test has an app of its own.
beforeEach(async () => {
  appId += 1;
  await ensureApp(database.db, { appId, callsPerSecond: 190 });
});

const enrol = (...ids: string[]) => enrolAccounts(database.db, appId, ids.toSorted());
const named = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, index) => `${prefix}${String(index).padStart(4, '0')}`);
const claim = (places: number) => claimBatches(database.db, appId, places, () => 0.5);
const idsOf = (batch: Awaited<ReturnType<typeof claim>>) =>
  batch.accounts.map((account) => account.accountId);

/** Makes accounts known, due at the given virtual times. */
async function known(dues: Record<string, number>): Promise<void> {
  await enrol(...Object.keys(dues));
  for (const [id, due] of Object.entries(dues)) {
    await sql`
      update mirror.poll_state set due_v = ${due}, first_polled_at = now(), verified_at = now(), status = 'active'
      from mirror.account
      where account.account_key = poll_state.account_key and account.app_id = ${appId} and account_id = ${id}
    `.execute(database.db);
  }
}

async function clock(): Promise<{ now: number; ceiling: number }> {
  const { rows } = await sql<{ now: number; ceiling: number }>`
    select virtual_clock as now, claim_ceiling as ceiling from mirror.app where app_id = ${appId}
  `.execute(database.db);
  return rows[0] ?? { now: 0, ceiling: 0 };
}

const openCeiling = (ceiling: number) =>
  sql`update mirror.app set claim_ceiling = ${ceiling} where app_id = ${appId}`.execute(database.db);

describe('claiming', () => {
  test('takes the head of the queue in order, each account once, while its lease lasts', async () => {
    await known({ c: 0.3, a: 0.1, b: 0.2, later: 500 });
    await openCeiling(1);
    expect(idsOf(await claim(2))).toEqual(['a', 'b']);
    expect(idsOf(await claim(2))).toEqual(['c']);
    expect(idsOf(await claim(2))).toEqual([]);
  });

  test('a full claim sets the clock to where the queue has got to, a short one lets it run', async () => {
    await known({ a: 0.1, b: 0.2 });
    await openCeiling(0.5);
    await claim(1);
    expect((await clock()).now).toBe(0.1);
    await claim(10);
    expect((await clock()).now).toBeGreaterThanOrEqual(0.5);
  });

  test('a lease that has ended makes the account the next again, with a new fencing token', async () => {
    await known({ a: 0.1, b: 0.2 });
    await openCeiling(1);
    const [first] = (await claim(1)).accounts;
    const { rows } = await sql<{ seconds: number }>`
      update mirror.poll_state set leased_until = clock_timestamp() where leased_until is not null and app_id = ${appId}
      returning extract(epoch from leased_until - clock_timestamp())::float8 as seconds
    `.execute(database.db);
    expect(rows).toHaveLength(1);
    const [second] = (await claim(1)).accounts;
    expect([first?.accountId, second?.accountId]).toEqual(['a', 'a']);
    expect(second?.claimNo).toBe((first?.claimNo ?? 0) + 1);
  });

  test('a lease lasts 25 seconds of real time, however far the virtual clock leaps', async () => {
    await known({ a: 0.1 });
    await openCeiling(1);
    await claim(1);
    const { rows } = await sql<{ seconds: number }>`
      select extract(epoch from leased_until - clock_timestamp())::float8 as seconds
      from mirror.poll_state where app_id = ${appId}
    `.execute(database.db);
    expect(rows[0]?.seconds).toBeGreaterThan(23);
    expect(rows[0]?.seconds).toBeLessThanOrEqual(25);
    await openCeiling(1000);
    await sql`update mirror.app set virtual_clock = 1000 where app_id = ${appId}`.execute(database.db);
    expect(idsOf(await claim(1))).toEqual([]);
  });

  test('new accounts do not starve those known: a fifth of the places is theirs', async () => {
    await known(Object.fromEntries(named('known', 50).map((id, index) => [id, index / 1000])));
    await enrol(...named('new', 200));
    await openCeiling(1);
    const taken = idsOf(await claim(100));
    expect(taken.filter((id) => id.startsWith('known'))).toHaveLength(20);
    expect(taken.filter((id) => id.startsWith('new'))).toHaveLength(80);
  });

  test('and each side takes the places that the other leaves', async () => {
    await known(Object.fromEntries(named('known', 50).map((id, index) => [id, index / 1000])));
    await enrol(...named('new', 10));
    await openCeiling(1);
    expect(idsOf(await claim(55))).toHaveLength(55);
    expect(idsOf(await claim(55))).toHaveLength(5);
  });

  test('accounts just read are not read again before their time, however many new ones wait', async () => {
    await enrol(...named('new', 400));
    // As after a pause, of which a minute may be made up.
    await openCeiling(1);
    const readAt = new Map<string, number>();
    const between: number[] = [];
    for (let second = 0; second < 60; second += 1) {
      await sql`
        update mirror.app set clock_moved_at = clock_timestamp() - interval '1 second' where app_id = ${appId}
      `.execute(database.db);
      const { accounts } = await claim(4);
      expect(accounts).toHaveLength(4);
      for (const { accountId } of accounts) {
        between.push(second - (readAt.get(accountId) ?? Number.NEGATIVE_INFINITY));
        readAt.set(accountId, second);
      }
      const seen = { sequence: 1, changed: true, full: true, at: Date.now() };
      // Half a minute's time.
      const records = accounts.map((account) => ({
        ...afterRead(account, seen, queue, () => 0.5),
        stride: 0.5,
      }));
      await recordPolls(database.db, appId, records);
    }
    expect(Math.min(...between)).toBeGreaterThanOrEqual(26);
    expect(Math.min(...between)).toBeLessThanOrEqual(29);
  });

  test('an account put first in the queue comes before all others', async () => {
    await known({ a: 0.1, b: 0.2, hinted: 400 });
    await openCeiling(1);
    await requestPoll(database.db, appId, ['hinted']);
    expect(idsOf(await claim(2))).toEqual(['hinted', 'a']);
    // The clock does not follow it to the head.
    expect((await clock()).now).toBe(0.1);
  });

  test('and is polled once for it, unless it is put there again meanwhile', async () => {
    await known({ hinted: 400 });
    await requestPoll(database.db, appId, ['hinted']);
    const request = async () => {
      const { accounts } = await claim(1);
      return accounts.map((account) => ({ ...releaseLease(account), stride: 300 }));
    };
    await recordPolls(database.db, appId, await request());
    expect(idsOf(await claim(1))).toEqual([]);
    await requestPoll(database.db, appId, ['hinted']);
    const second = await request();
    await requestPoll(database.db, appId, ['hinted']);
    await recordPolls(database.db, appId, second);
    expect(idsOf(await claim(1))).toEqual(['hinted']);
  });

  test('from many places at once no account is handed out twice', async () => {
    await enrol(...named('a', 500));
    const claims = await Promise.all(Array.from({ length: 10 }, () => claim(60)));
    const ids = claims.flatMap(idsOf);
    expect(ids).toHaveLength(500);
    expect(new Set(ids).size).toBe(500);
  });

  test('other apps are left alone', async () => {
    await enrol('mine');
    appId += 1;
    await ensureApp(database.db, { appId, callsPerSecond: 190 });
    expect(idsOf(await claim(10))).toEqual([]);
  });

  test('what is known of an account comes with it and goes back unharmed', async () => {
    await enrol('a');
    const [account] = (await claim(1)).accounts;
    if (account === undefined) throw new Error('nothing claimed');
    const read = { at: 1_790_000_000_123.456, sequence: Number.MAX_SAFE_INTEGER, changed: true, full: true };
    await sql`update mirror.poll_state set verified_at = null where app_id = ${appId}`.execute(database.db);
    const record = {
      ...afterRead(account, read, queue, () => 0.5),
      contentHash: 'ab'.repeat(16),
      groupCount: 3,
    };
    await recordPolls(database.db, appId, [record]);
    await requestPoll(database.db, appId, ['a']);
    const [again] = (await claim(1)).accounts;
    expect(again).toMatchObject({
      sequence: Number.MAX_SAFE_INTEGER,
      contentHash: 'ab'.repeat(16),
      groupCount: 3,
      status: 'active',
      firstPolledAt: expect.closeTo(read.at, 2),
      fullReadAt: expect.closeTo(read.at, 2),
    });
  });

  test('an account given back is due at once', async () => {
    await enrol('a');
    const { accounts } = await claim(1);
    await recordPolls(database.db, appId, accounts.map(releaseLease));
    expect(idsOf(await claim(1))).toEqual(['a']);
  });
});

describe('accounts that callbacks have named', () => {
  const dues = (prefix: string, count: number) =>
    Object.fromEntries(named(prefix, count).map((id, index) => [id, index / 1000]));
  const hint = (...ids: string[]) =>
    hintAccounts(database.db, { appId, ids, leaseSeconds: 25, pauseSeconds: 0 });
  /** What of a claim was in which queue. */
  const tally = (ids: readonly string[]) => ({
    hinted: ids.filter((id) => id.startsWith('hinted')).length,
    others: ids.filter((id) => !id.startsWith('hinted')).length,
  });

  test('come first, whenever they would be due', async () => {
    await known({ a: 0.1, b: 0.2, hinted: 500 });
    await openCeiling(1);
    await hint('hinted');
    expect(idsOf(await claim(10))).toEqual(['hinted', 'a', 'b']);
    // Its hint is used up, and its place in the other queue is as before.
    expect(idsOf(await claim(10))).toEqual([]);
    const { rows } = await sql<{ due: number }>`
      select due_v as due from mirror.poll_state join mirror.account using (account_key)
      where account.app_id = ${appId} and account_id = 'hinted'
    `.execute(database.db);
    expect(rows).toEqual([{ due: 500 }]);
  });

  test('however many, take a tenth of the places as long as others wait, and what these leave', async () => {
    await known({
      ...dues('known', 140),
      ...Object.fromEntries(named('hinted', 300).map((id) => [id, 500])),
    });
    await openCeiling(1);
    await hint(...named('hinted', 300));
    expect(tally(idsOf(await claim(100)))).toEqual({ hinted: 10, others: 90 });
    expect(tally(idsOf(await claim(100)))).toEqual({ hinted: 50, others: 50 });
    expect(tally(idsOf(await claim(300)))).toEqual({ hinted: 240, others: 0 });
  });

  test('do not move the clock: a full claim sets it to where the queue has got to', async () => {
    await known({ ...dues('known', 20), hinted: 500 });
    await openCeiling(1);
    await hint('hinted');
    await claim(10);
    expect((await clock()).now).toBeCloseTo(0.008);
    // The queue is short, though those hinted fill the claim: the clock runs with real time.
    await known(Object.fromEntries(named('hinted', 50).map((id) => [id, 500])));
    await hint(...named('hinted', 50));
    await claim(30);
    expect((await clock()).now).toBeGreaterThanOrEqual(1);
  });

  test('may be new, and one named again while it is polled comes again', async () => {
    await enrol('hinted');
    await hint('hinted');
    expect(idsOf(await claim(5))).toEqual(['hinted']);
    await hint('hinted');
    expect(idsOf(await claim(5))).toEqual([]);
    await sql`update mirror.poll_state set leased_until = null where app_id = ${appId}`.execute(database.db);
    expect(idsOf(await claim(5))).toEqual(['hinted']);
  });

  test('wait like all others while the app is halted', async () => {
    await known({ a: 0.1, hinted: 500 });
    await openCeiling(1);
    await hint('hinted');
    await haltApp(database.db, { appId, kind: 'credentials', code: 70003, message: '', pauseMs: 5000 });
    expect(idsOf(await claim(5))).toEqual([]);
  });
});

describe('a halted app', () => {
  const halt = () =>
    haltApp(database.db, { appId, kind: 'credentials', code: 70003, message: 'refused', pauseMs: 5000 });

  test('yields one account when its probe is due, to one caller, and then none for longer and longer', async () => {
    await known(Object.fromEntries(named('a', 20).map((id, index) => [id, index / 1000])));
    await openCeiling(1);
    expect(await halt()).toBe(true);
    expect(await halt()).toBe(false);
    expect(idsOf(await claim(10))).toEqual([]);
    await probeNow(database.db, appId);
    const claims = await Promise.all(Array.from({ length: 5 }, () => claim(10)));
    expect(claims.flatMap(idsOf)).toHaveLength(1);
    expect(claims.filter((batch) => batch.probe && batch.accounts.length > 0)).toHaveLength(1);
    const waits: number[] = [];
    for (let probe = 0; probe < 6; probe += 1) {
      await sql`update mirror.app set probe_at = clock_timestamp() where app_id = ${appId}`.execute(
        database.db,
      );
      await claim(10);
      const { rows } = await sql<{ wait: number }>`
        select extract(epoch from probe_at - clock_timestamp())::float8 as wait from mirror.app where app_id = ${appId}
      `.execute(database.db);
      waits.push(Math.round(rows[0]?.wait ?? 0));
    }
    expect(waits).toEqual([10, 20, 40, 60, 60, 60]);
  });

  test('goes on as before when it is well again', async () => {
    await enrol(...named('a', 20));
    await halt();
    expect(await resumeApp(database.db, appId)).toBe(true);
    expect(await resumeApp(database.db, appId)).toBe(false);
    expect(idsOf(await claim(10))).toHaveLength(10);
  });
});
