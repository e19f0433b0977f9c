import { sql, type Transaction } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Database, DB } from '../../db/client.ts';
import {
  discoverAccounts,
  fenceAccounts,
  purgeAccounts,
  readOutcomes,
  requestPoll,
  unenrolAccounts,
} from '../../db/queries/accounts.ts';
import { readMirroredAccount } from '../../db/queries/audit.ts';
import { findFeedStart, readFeed } from '../../db/queries/changes.ts';
import { type ClaimedAccount, type ClaimRequest, claimDue } from '../../db/queries/claims.ts';
import { readAccount, readAccountOutcomes } from '../../db/queries/explain.ts';
import { loadGroupNames, loadGroups, lockAccount } from '../../db/queries/groups.ts';
import { forgetHeldRemoval, holdRemoval, isReleased } from '../../db/queries/held-removals.ts';
import { hintAccounts } from '../../db/queries/hints.ts';
import { readAccountGroups, readMirrorRows } from '../../db/queries/mirror.ts';
import { noteOutcomes, recordPolls } from '../../db/queries/poll-records.ts';
import { countShrunk } from '../../db/queries/shrunk-accounts.ts';
import { diffGroups } from '../../src/sync/diff.ts';
import { releaseLease } from '../../src/sync/next-state.ts';
import { writeGroups } from '../../src/sync/write-groups.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { connectGated } from '../support/gated-database.ts';
import { createPlanner, type Planner } from '../support/query-plans.ts';

const appId = 1_400_000_000;
/** Rows there are, and how many times as many the planner counts with: 1 M accounts, 3 M groups, 30 M members. */
const accounts = 4000;
const groupsEach = 3;
const membersEach = 10;
const reported = 250;

let database: TestDatabase;
let planner: Planner;
let db: Database;

beforeAll(async () => {
  database = await createTestDatabase();
  await fill(database.db);
  planner = createPlanner();
  db = connectGated(database.url, planner.gate);
});

afterAll(async () => {
  await db?.destroy();
  await database?.[Symbol.asyncDispose]();
});

/**
 * A few rows, spread as they would be, and statistics that speak of many times as many on the same
 * pages: a scan of a whole table looks cheaper to the planner than it would be.
 */
async function fill(owner: Database): Promise<void> {
  await sql
    .raw(`
      insert into mirror.app (app_id) values (${appId}), (${appId + 1});
      set session_replication_role = replica;
      insert into mirror.account (app_id, account_id)
      select ${appId} + (number % 10 = 0)::integer, 'user-' || number from generate_series(1, ${accounts}) number;
      insert into mirror.poll_state (
        account_key, app_id, due_v, claim_no, leased_until,
        hinted_at, first_polled_at, verified_at, status, sequence, group_count, content_hash, fail_count
      )
      select account_key, app_id, random() * 100, 1, case when account_key % 1000 = 0 then now() end,
        case when account_key % 50 = 1 then now() end,
        case when seen then now() end, case when seen then now() end,
        (case when seen then 'active' else 'never_polled' end)::mirror.account_status,
        account_key, ${groupsEach}, sha256(account_id::bytea), (account_key % 200 = 0)::integer
      from mirror.account, lateral (select account_key % 5 > 0 as seen) as state;
      insert into mirror.poll_outcome (account_key, claim_no, outcome)
      select account_key, number, 'changed' from mirror.account, generate_series(1, 3) number;
      insert into mirror.held_removal (account_key, app_id, groups, members)
      select account_key, app_id, 1, 1 from mirror.account;
      insert into mirror.shrunk_account (account_key, app_id, shrunk_at, groups, members)
      select account_key, app_id, now() - account_key * interval '1 second', 1, 1 from mirror.account;
      insert into mirror.friend_group (account_key, group_name, friend_number, added_at, removed_at)
      select account_key, 'group ' || number, ${membersEach}, now() - interval '1 day', case when number > ${groupsEach} then now() end
      from mirror.account, generate_series(1, ${groupsEach} + 1) number;
      insert into mirror.friend_group_member (group_key, friend_id, added_at, removed_at)
      select group_key, 'user-' || (group_key * 7 + number * 13) % ${accounts}, added_at, case when number > ${membersEach} then now() else removed_at end
      from mirror.friend_group, generate_series(1, ${membersEach} + 1) number;
      insert into mirror.change (app_id, account_key, kind, group_name, friend_id, observed_at)
      select app_id, account_key, 'member_added', 'group 1', 'user-' || number, now() + number * interval '1 month'
      from mirror.account, generate_series(0, 3) number;
      set session_replication_role = origin;
    `)
    .execute(owner);
  const { rows } = await sql<{ name: string }>`
    select oid::regclass::text as name from pg_class
    where relnamespace = 'mirror'::regnamespace and relkind = 'r' and relname <> 'app'
  `.execute(owner);
  for (const { name } of rows)
    await sql.raw(`alter table ${name} set (autovacuum_enabled = false)`).execute(owner);
  await sql`analyze`.execute(owner);
  await sql`
    update pg_class set reltuples = reltuples * ${reported}::float4
    where relnamespace = 'mirror'::regnamespace and relname !~ '^app' and reltuples > 0
  `.execute(owner);
}

/** Carries out statements and undoes them; they must read no table and no index as a whole. */
async function expectIndexes(act: (trx: Transaction<DB>) => Promise<unknown>): Promise<void> {
  const undo = new Error('undo');
  planner.take();
  const ended = db.transaction().execute(async (trx) => {
    await act(trx);
    throw undo;
  });
  await expect(ended).rejects.toBe(undo);
  const { plans, scans } = planner.take();
  expect(plans).toBeGreaterThan(0);
  expect(scans).toEqual([]);
}

const claim = (trx: Transaction<DB>, queue: ClaimRequest['queue'], places = 50) =>
  claimDue(trx, { appId, queue, places, virtualClock: 0, ceiling: 90, leaseSeconds: 45 });

async function claimOne(trx: Transaction<DB>): Promise<ClaimedAccount> {
  const [account] = (await claim(trx, 'known', 1)).accounts;
  if (account === undefined) throw new Error('nothing to claim');
  return account;
}

describe('at a million accounts no whole table and no whole index is read', () => {
  test.each([
    'accounts',
    'friend_groups',
    'friend_group_members',
    'friend_group_history',
    'friend_group_member_history',
    'changes',
    "friend_groups_at(now() - interval '1 hour')",
    "friend_group_members_at(now() - interval '1 hour')",
  ])('by tim.%s of one account', (source) =>
    expectIndexes(async (trx) => {
      const { rows } = await sql
        .raw(`select * from tim.${source} where app_id = ${appId} and account_id = 'user-2424'`)
        .execute(trx);
      expect(rows.length).toBeGreaterThan(0);
    }),
  );

  test.each([
    'friend_groups',
    'friend_group_members',
    'friend_group_history',
    'friend_group_member_history',
    'changes',
  ])('by tim.%s of accounts that another table names', (view) =>
    expectIndexes(async (trx) => {
      await sql`create temporary table mine (id text collate "C") on commit drop`.execute(trx);
      await sql`insert into mine values ('user-1'), ('user-2')`.execute(trx);
      await sql`analyze mine`.execute(trx);
      await sql
        .raw(`select * from mine join tim.${view} on account_id = id and app_id = ${appId}`)
        .execute(trx);
    }),
  );

  test.each([
    'friend_group_members',
    'friend_group_member_history',
    "friend_group_members_at(now() - interval '1 hour')",
  ])('by asking tim.%s in whose groups an account is', (source) =>
    expectIndexes(async (trx) => {
      const { rows } = await sql
        .raw(`select account_id, group_name from tim.${source} where friend_id = 'user-2424'`)
        .execute(trx);
      expect(rows.length).toBeGreaterThan(0);
    }),
  );

  test('by reading the feed on, of all or of one account, or by showing an account’s groups', async () => {
    await expectIndexes(async (trx) => {
      const page = { after: { txId: '0', changeId: 20 }, limit: 10, finished: false };
      expect(await readFeed(trx, { appId, accountId: undefined }, page)).toHaveLength(10);
      const filter = { appId, accountId: 'user-2424' };
      const start = await findFeedStart(trx, filter, 3600);
      expect(await readFeed(trx, filter, { ...page, start, after: start })).toHaveLength(4);
    });
    planner.take();
    expect(await readAccountGroups(db, appId, 'user-2424')).toHaveLength(groupsEach);
    expect(await readAccountGroups(db, appId, 'user-2424', new Date(Date.now() - 3_600_000))).toHaveLength(
      groupsEach + 1,
    );
    expect(planner.take().scans).toEqual([]);
  });

  test.each([
    ['group_name, count(*) from tim.friend_groups group by 1', 'friend_group'],
    ['friend_id, count(*) from tim.friend_group_members group by 1', 'friend_group_member'],
    ['kind, count(*) from tim.changes group by 1', 'change'],
  ])('more than the question needs: select %s', async (question, only) => {
    const { rows } = await sql
      .raw<{ 'QUERY PLAN': string }>(`explain select ${question}`)
      .execute(database.db);
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
    const read = new Set(
      [...plan.matchAll(/ on (?:mirror\.)?(\w+?)(?:_\d{4}_\d\d)?(?: |$)/gm)].map(([, name]) => name),
    );
    expect([...read]).toEqual([only]);
  });

  test.each(['known', 'never_polled', 'hinted'] as const)('by the claim of the %s queue', (queue) =>
    expectIndexes(async (trx) => expect((await claim(trx, queue)).accounts).toHaveLength(50)),
  );

  test('by the record of a batch', () =>
    expectIndexes(async (trx) => {
      const { accounts: batch } = await claim(trx, 'known');
      const written = await recordPolls(trx, appId, batch.map(releaseLease));
      expect(written.size).toBe(50);
      const notes = batch.map(({ accountKey, claimNo }) => ({
        ...{ accountKey, claimNo, outcome: 'changed', code: null },
        message: '+1 group',
      }));
      await noteOutcomes(trx, notes);
    }));

  test('by counting the accounts that have shrunk, before a second answer is believed', () =>
    expectIndexes(async (trx) => {
      const counts = await countShrunk(trx, appId, [60, 600]);
      expect(counts?.shrunk[1]).toBeGreaterThan(counts?.shrunk[0] ?? 0);
    }));

  test('by loading one account and writing what has changed in it', () =>
    expectIndexes(async (trx) => {
      const account = await claimOne(trx);
      const { accountKey } = account;
      expect(await lockAccount(trx, appId, account)).toBeDefined();
      expect(await loadGroupNames(trx, accountKey)).toHaveLength(groupsEach);
      const groups = await loadGroups(trx, accountKey);
      expect(groups.flatMap((group) => group.members)).toHaveLength(groupsEach * membersEach);
      const [first, second, ...rest] = groups;
      const truth = [
        { name: first?.name ?? '', friendNumber: 99, members: ['new', ...(first?.members.slice(1) ?? [])] },
        { name: 'new', friendNumber: 1, members: ['new'] },
        ...rest,
      ];
      const diff = diffGroups(groups, truth);
      expect(diff.removedGroups).toEqual([second]);
      await writeGroups(trx, { appId, accountKey, at: Date.now(), sequence: 1 }, diff);
      await holdRemoval(trx, { appId, accountKey, groups: 1, members: 1 });
      expect(await isReleased(trx, accountKey)).toBe(false);
      await forgetHeldRemoval(trx, accountKey);
    }));

  test('by showing all that is known of one account', () =>
    expectIndexes(async (trx) => {
      const account = await readAccount(trx, appId, 'user-2424');
      expect(account).toMatchObject({ groups: groupsEach, members: groupsEach * membersEach });
      expect(await readAccountOutcomes(trx, account?.accountKey ?? 0)).toHaveLength(3);
      expect(await readOutcomes(trx, appId, ['user-1', 'user-2'])).toHaveLength(2);
      expect((await readMirrorRows(trx, appId, ['user-1', 'user-2'])).groups).toHaveLength(2 * groupsEach);
    }));

  test('by comparing one account with the vendor', async () => {
    planner.take();
    const { rows } = await sql<{ key: number }>`
      select account_key as key from mirror.account where app_id = ${appId} and account_id = 'user-2424'
    `.execute(db);
    expect((await readMirroredAccount(db, rows[0]?.key ?? 0))?.groups).toHaveLength(groupsEach);
    expect(planner.take().scans).toEqual([]);
  });

  test('by callbacks that name accounts, enrolled or not', () =>
    expectIndexes(async (trx) => {
      const ids = Array.from({ length: 500 }, (_, index) => `user-${index * 13}`);
      const hint = { appId, ids, leaseSeconds: 25, pauseSeconds: 5 };
      expect(await hintAccounts(trx, hint)).toHaveLength(ids.length - 277);
      expect(await discoverAccounts(trx, appId, ['user-1', 'user-x'])).toBe(1);
    }));

  test('by an operator’s request, or by taking accounts out and deleting all trace of them', () =>
    expectIndexes(async (trx) => {
      const ids = ['user-1', 'user-2', 'user-3'];
      await requestPoll(trx, appId, ids);
      const fenced = await fenceAccounts(trx, appId, ids, 60);
      expect(await unenrolAccounts(trx, appId, fenced)).toHaveLength(3);
      expect(await purgeAccounts(trx, appId, ids)).toBe(3);
    }));

  test('by the deletes that follow from a delete: each reference has an index that leads with it', async () => {
    const { rows } = await sql<{ reference: string }>`
      select conrelid::regclass || ' (' || attname || ')' as reference
      from pg_constraint reference
      join pg_attribute on attrelid = conrelid and attnum = conkey[1]
      where contype = 'f' and connamespace = 'mirror'::regnamespace
        and not exists (
          select from pg_index where indrelid = conrelid and indkey[0] = conkey[1] and indpred is null
        )
    `.execute(db);
    expect(rows).toEqual([]);
  });
});
