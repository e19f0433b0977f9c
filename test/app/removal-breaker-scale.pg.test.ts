import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { readApps } from '../../db/queries/apps.ts';
import { type ClaimedAccount, claimDue } from '../../db/queries/claims.ts';
import { countQueue } from '../../db/queries/count-queue.ts';
import { countRead } from '../../db/queries/shrunk-accounts.ts';
import { createRemovalBreaker } from '../../src/app/removal-breaker.ts';
import { silentLogger } from '../../src/log.ts';
import { rateRule } from '../../src/schedule/policy.ts';
import { pollAccount } from '../../src/sync/poll-account.ts';
import type { TencentClient } from '../../src/tencent/client.ts';
import { createWorld, testApp, type World, withOverrides } from '../support/world.ts';

const callsPerSecond = 190;
const atOnce = 8;
const { appId } = testApp;

interface Disaster {
  readonly accounts: number;
  readonly intervalSeconds: number;
  /** How many of the accounts the vendor says nothing of, by the seconds that have passed. */
  readonly emptied: (seconds: number) => number;
  readonly seconds: number;
  /** How often the breaker is looked after: every five seconds, as in the daemon, or less often where nothing happens. */
  readonly stepSeconds: number;
}

/** Fills the tables with accounts that hold a group of two, each read a moment ago. */
async function fill({ db }: World, accounts: number): Promise<void> {
  await sql`
    with enrolled as (
      insert into mirror.account (app_id, account_id)
      select ${appId}, 'account-' || number from generate_series(0, ${accounts - 1}) number
      returning account_key
    ), held as (
      insert into mirror.friend_group (account_key, group_name, friend_number, added_at)
      select account_key, 'a', 2, now() - interval '1 day' from enrolled returning group_key, account_key
    ), members as (
      insert into mirror.friend_group_member (group_key, friend_id, added_at)
      select group_key, friend, now() - interval '1 day' from held, unnest(array['x', 'y']) as friend
    )
    insert into mirror.poll_state (account_key, app_id, due_v, status, sequence, group_count, first_polled_at,
      verified_at, full_read_at, content_hash)
    select account_key, ${appId}, 1, 'active', 1, 1, now() - interval '1 day', now(), now(), '\\x00'
    from enrolled
  `.execute(db);
  await sql`analyze mirror.poll_state`.execute(db);
  await countQueue(db, appId, rateRule);
}

/** Lets time pass for everything that is remembered. */
async function pass({ db }: World, seconds: number): Promise<void> {
  const past = sql`${seconds} * interval '1 second'`;
  await sql`
    update mirror.poll_state set verified_at = verified_at - ${past}, pending_at = pending_at - ${past},
      changed_at = changed_at - ${past}
  `.execute(db);
  await sql`
    update mirror.shrunk_account set shrunk_at = shrunk_at - ${past}, believed_at = believed_at - ${past}
  `.execute(db);
}

/** Claims these accounts, all at once. */
async function claim({ db }: World, keys: readonly number[]): Promise<readonly ClaimedAccount[]> {
  await sql`
    update mirror.poll_state set due_v = -1, leased_until = null where account_key = any(${keys}::bigint[])
  `.execute(db);
  return db.transaction().execute(async (trx) => {
    const due = { appId, queue: 'known', places: keys.length, virtualClock: 0, ceiling: -1 } as const;
    return (await claimDue(trx, { ...due, leaseSeconds: 60 })).accounts;
  });
}

/** Plays it, and returns when removals were held, how much was removed until then, and how much in all. */
async function play(world: World, disaster: Disaster) {
  const { accounts, intervalSeconds, emptied, seconds, stepSeconds } = disaster;
  await fill(world, accounts);
  const breaker = createRemovalBreaker({ db: world.db, appId, log: silentLogger(), readKeptMs: 0 });
  const client: TencentClient = {
    ...world.client,
    groupGet: async () => ({ sequence: 2, groups: [], sentAt: world.deps.now() }),
  };
  const deps = withOverrides(world.deps, { client, health: { mayBelieve: breaker.mayBelieve } });
  const first =
    (await sql<{ key: number }>`select min(account_key) as key from mirror.poll_state`.execute(world.db))
      .rows[0]?.key ?? 0;
  const period = Math.max(intervalSeconds, accounts / callsPerSecond);
  const held = async () => (await readApps(world.db))[0]?.hold !== undefined;
  let heldAfter: number | undefined;
  for (let time = 0; time < seconds && heldAfter === undefined; time += stepSeconds) {
    await pass(world, stepSeconds);
    // Round robin: a slice of the accounts in each step, or all of them.
    const [from, to] = [(time / period) * accounts, ((time + stepSeconds) / period) * accounts];
    const slice =
      to - from >= accounts
        ? sql`true`
        : sql`
      mod(account_key - ${first} - ${Math.floor(from)} + ${accounts} * 1000::bigint, ${accounts}) < ${Math.floor(to) - Math.floor(from)}
    `;
    // Those that are emptied lie here and there, and a removal is read again after a minute.
    const isEmptied = sql`mod((account_key - ${first}) * 7919, ${accounts}) < ${Math.floor(emptied(time))}`;
    const { rows } = await sql<{ key: number }>`
      select account_key as key from mirror.poll_state
      where group_count > 0 and ${isEmptied}
        and (case when pending_at is null then ${slice} else pending_at <= clock_timestamp() - interval '60 seconds' end)
    `.execute(world.db);
    await sql`
      update mirror.poll_state set verified_at = clock_timestamp() where ${slice} and not (${isEmptied})
    `.execute(world.db);
    const claimed = await claim(
      world,
      rows.map(({ key }) => key),
    );
    for (let start = 0; start < claimed.length; start += atOnce)
      await Promise.all(
        claimed
          .slice(start, start + atOnce)
          .map(async (account) => world.record(await pollAccount(deps, account, world.stop))),
      );
    await breaker.watch();
    if (await held()) heldAfter = time + stepSeconds;
  }
  const { rows } = await sql<{ removed: number }>`
    select count(*)::integer as removed from tim.changes where kind = 'member_removed'
  `.execute(world.db);
  return { heldAfter, removed: rows[0]?.removed ?? 0 };
}

test('of a million accounts, what was read is counted from a sample, good to a fifth', async () => {
  await using world = await createWorld();
  await fill(world, 20_000);
  await sql`
    update mirror.poll_state set verified_at = now() - interval '1 hour' where account_key % 4 > 0
  `.execute(world.db);
  expect(await countRead(world.db, appId, [60, 7200])).toEqual([5000, 20_000]);
  // Postgres believes that there are a million rows, and so a tenth of the pages is read.
  await sql`
    update pg_class set reltuples = 1000000 where oid = 'mirror.poll_state'::regclass
  `.execute(world.db);
  const counts: number[] = [];
  for (let round = 0; round < 20; round += 1) counts.push((await countRead(world.db, appId, [60]))[0] ?? 0);
  const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  expect(mean).toBeGreaterThan(4000);
  expect(mean).toBeLessThan(6000);
});

// Twenty thousand accounts take 105 s a round at 190 calls a second, whatever the shortest interval allows.
const sizes = [
  { accounts: 200, intervalSeconds: 1 },
  { accounts: 200, intervalSeconds: 30 },
  { accounts: 1500, intervalSeconds: 1 },
  { accounts: 1500, intervalSeconds: 30 },
  { accounts: 20_000, intervalSeconds: 1 },
] as const;

describe.each(sizes)(
  '$accounts accounts, each polled every $intervalSeconds s or as often as the limit allows',
  (size) => {
    test('all of which come back empty lose no row', async () => {
      await using world = await createWorld();
      const end = await play(world, { ...size, emptied: () => size.accounts, seconds: 120, stepSeconds: 5 });
      expect(end).toEqual({ heldAfter: expect.any(Number), removed: 0 });
      expect(end.heldAfter).toBeLessThan(60);
    });

    test('a fifth of which come back empty lose no row', async () => {
      await using world = await createWorld();
      const end = await play(world, {
        ...size,
        emptied: () => size.accounts / 5,
        seconds: 180,
        stepSeconds: 5,
      });
      expect(end).toEqual({ heldAfter: expect.any(Number), removed: 0 });
    });

    const dripping = size.accounts > 10_000 ? 50 : 25;
    test(`of which one in ${dripping} empties itself within ten minutes, one after the other, are believed`, async () => {
      await using world = await createWorld();
      const end = await play(world, {
        ...size,
        emptied: (time) => (size.accounts / dripping) * (time / 600),
        seconds: 750,
        stepSeconds: 30,
      });
      expect(end.heldAfter).toBeUndefined();
      expect(end.removed).toBeGreaterThan(size.accounts / dripping);
    });
  },
);
