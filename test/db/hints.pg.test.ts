import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { discoverAccounts, discoverNamed, enrolAccounts } from '../../db/queries/accounts.ts';
import { ensureApp, readApps } from '../../db/queries/apps.ts';
import { hintAccounts, slowApp } from '../../db/queries/hints.ts';
import { removeAccounts } from '../../src/accounts/remove-accounts.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

let database: TestDatabase;
let appId = 0;

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

const hint = (...ids: string[]) =>
  hintAccounts(database.db, { appId, ids, leaseSeconds: 25, pauseSeconds: 5 });

/** Seconds from now until each account is in the line of those hinted; null: it is not in it. */
async function waits(): Promise<Record<string, number | null>> {
  const { rows } = await sql<{ id: string; wait: number | null }>`
    select account_id as id, round(extract(epoch from hinted_at - clock_timestamp()))::float8 as wait
    from mirror.poll_state join mirror.account using (account_key)
    where poll_state.app_id = ${appId} order by account_id
  `.execute(database.db);
  return Object.fromEntries(rows.map(({ id, wait }) => [id, wait === null ? null : wait + 0]));
}

async function set(id: string, assignments: string): Promise<void> {
  await sql`
    update mirror.poll_state set ${sql.raw(assignments)}
    from mirror.account where account.account_key = poll_state.account_key
      and account.app_id = ${appId} and account_id = ${id}
  `.execute(database.db);
}

describe('a hint', () => {
  test('puts accounts in line now, or after the pause where one was polled or claimed a moment ago', async () => {
    await enrolAccounts(database.db, appId, ['claimed', 'never', 'old', 'read']);
    await set('old', "verified_at = clock_timestamp() - interval '1 hour'");
    await set('read', "verified_at = clock_timestamp() - interval '2 s'");
    await set('claimed', "leased_until = clock_timestamp() + interval '24 s'");
    expect(await hint('claimed', 'never', 'old', 'read')).toEqual([]);
    expect(await waits()).toEqual({ claimed: 4, never: 0, old: 0, read: 3 });
  });

  test('that comes again leaves an account in its place', async () => {
    await enrolAccounts(database.db, appId, ['ann']);
    await set('ann', "hinted_at = clock_timestamp() - interval '7 s'");
    await hint('ann');
    expect(await waits()).toEqual({ ann: -7 });
  });

  test('leaves one alone whose last answer waits for a second one', async () => {
    await enrolAccounts(database.db, appId, ['doubtful']);
    await set('doubtful', "pending_hash = '\\x00', pending_at = now()");
    expect(await hint('doubtful')).toEqual([]);
    expect(await waits()).toEqual({ doubtful: null });
  });

  test('leaves one alone that fails: its own time will come', async () => {
    await enrolAccounts(database.db, appId, ['failing']);
    await set('failing', 'fail_count = 1');
    expect(await hint('failing')).toEqual([]);
    expect(await waits()).toEqual({ failing: null });
  });

  test('reports which accounts are not enrolled, of this app', async () => {
    await enrolAccounts(database.db, appId, ['ann', 'left']);
    await removeAccounts(database.db, appId, ['left'], false);
    await ensureApp(database.db, { appId: appId + 1000, callsPerSecond: 1 });
    await enrolAccounts(database.db, appId + 1000, ['elsewhere']);
    expect((await hint('ann', 'elsewhere', 'left', 'stranger')).toSorted()).toEqual([
      'elsewhere',
      'left',
      'stranger',
    ]);
    expect(await hint()).toEqual([]);
  });

  test('from many processes at once locks none of them out', async () => {
    const ids = Array.from({ length: 200 }, (_, index) => `user-${String(index).padStart(3, '0')}`);
    await enrolAccounts(database.db, appId, ids);
    await Promise.all(Array.from({ length: 8 }, (_, turn) => hint(...(turn % 2 ? ids : ids.toReversed()))));
    expect(Object.values(await waits()).every((wait) => wait !== null && wait <= 0)).toBe(true);
  });
});

describe('accounts that callbacks mention', () => {
  test('are enrolled when the app has never had them, and not when an operator took them out', async () => {
    await enrolAccounts(database.db, appId, ['ann', 'left']);
    await removeAccounts(database.db, appId, ['left'], false);
    expect(await discoverAccounts(database.db, appId, ['ann', 'left', 'new'])).toBe(1);
    expect(Object.keys(await waits())).toEqual(['ann', 'new']);
    expect(await discoverAccounts(database.db, appId, ['ann', 'left', 'new'])).toBe(0);
    // An operator who enrols it himself means it.
    expect(await enrolAccounts(database.db, appId, ['left'])).toBe(1);
  });

  test('are enrolled once by many processes at once', async () => {
    const ids = Array.from({ length: 300 }, (_, index) => `user-${String(index).padStart(3, '0')}`);
    const enrolled = await Promise.all(
      Array.from({ length: 6 }, () => discoverAccounts(database.db, appId, ids)),
    );
    expect(enrolled.reduce((sum, each) => sum + each)).toBe(300);
  });
});

describe('accounts that callbacks name', () => {
  test('are enrolled by all processes together as often an hour as is set, and answers are not bounded', async () => {
    await ensureApp(database.db, { appId: 77, callsPerSecond: 1 });
    const lot = (first: number) =>
      Array.from({ length: 50 }, (_, index) => `named-${String(first + index).padStart(4, '0')}`);
    const named = await Promise.all(
      [0, 20, 40, 100, 150, 200].map((first) => discoverNamed(database.db, 77, lot(first), 120)),
    );
    expect(named.reduce((sum, { enrolled }) => sum + enrolled, 0)).toBe(120);
    expect(named.reduce((sum, { leftOut }) => sum + leftOut, 0)).toBeGreaterThanOrEqual(120);
    expect(await discoverNamed(database.db, 77, lot(300), 120)).toEqual({ enrolled: 0, leftOut: 50 });
    // Known ones take no room and are not left out.
    expect(await discoverNamed(database.db, 77, [], 120)).toEqual({ enrolled: 0, leftOut: 0 });
    expect(await discoverAccounts(database.db, 77, lot(300))).toBe(50);
    expect(await discoverNamed(database.db, 77, lot(300), 120)).toEqual({ enrolled: 0, leftOut: 0 });
    // An hour later.
    await sql`update mirror.activity set bucket = bucket - interval '61 minutes' where app_id = 77`.execute(
      database.db,
    );
    expect(await discoverNamed(database.db, 77, lot(400), 120)).toEqual({ enrolled: 50, leftOut: 0 });
  });
});

describe('a warning of the limit', () => {
  const slowed = async () => (await readApps(database.db)).find((app) => app.appId === appId)?.slowed;

  test('holds for its time, and the lower of two that hold', async () => {
    expect(await slowed()).toBeUndefined();
    await slowApp(database.db, appId, { callsPerSecond: 100, seconds: 60 });
    await slowApp(database.db, appId, { callsPerSecond: 150, seconds: 60 });
    expect(await slowed()).toMatchObject({ callsPerSecond: 100 });
    expect((await slowed())?.secondsLeft).toBeGreaterThan(55);
    await sql`update mirror.app set slowed_until = clock_timestamp() where app_id = ${appId}`.execute(
      database.db,
    );
    expect(await slowed()).toBeUndefined();
    await slowApp(database.db, appId, { callsPerSecond: 150, seconds: 60 });
    expect(await slowed()).toMatchObject({ callsPerSecond: 150 });
  });
});
