import fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requestFullRead } from '../../db/queries/audit.ts';
import { readMirrorRows } from '../../db/queries/mirror.ts';
import type { TencentClient } from '../../src/tencent/client.ts';
import type { FriendGroup } from '../../src/tencent/wire.ts';
import { runs } from '../support/effort.ts';
import { currentRows, replayFeed, rowsAt } from '../support/replay.ts';
import { rowsOfSnapshot, snapshot } from '../support/snapshots.ts';
import { createWorld, testApp, type World } from '../support/world.ts';

let world: World;
let next = 0;

beforeAll(async () => {
  world = await createWorld();
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

/** An account whose groups are whatever a test says; each change moves its sequence. */
async function startAccount() {
  next += 1;
  const id = `account-${next}`;
  await world.addAccounts(id);
  const { account_key: key } = await world.db
    .selectFrom('mirror.account')
    .select('account_key')
    .where('account_id', '=', id)
    .executeTakeFirstOrThrow();
  let sequence = 0;

  async function report(groups: readonly FriendGroup[]): Promise<void> {
    sequence += 1;
    const client: TencentClient = {
      ...world.client,
      groupGet: async () => ({ sequence, groups, sentAt: world.deps.now() }),
    };
    const poll = () => world.poll(id, { client, policy: { confirmRemovalAfterMs: 0 } });
    // What takes too much away is believed the second time; or the third, where what the first added has turned the
    // doubt about much that goes into one about groups that list fewer friends than they count.
    for (let times = 0; times < 3; times += 1) if ((await poll()).outcome !== 'removal_pending') return;
    throw new Error('three reads that agree are not believed');
  }

  async function verifiedAt(): Promise<string> {
    const { rows } = await sql<{ at: string }>`
      select verified_at::text as at from mirror.poll_state where account_key = ${key}
    `.execute(world.db);
    return rows[0]?.at ?? '';
  }

  return { id, key, report, verifiedAt };
}

/** Forgets all accounts, so that what is read of the mirror is of one alone. */
async function cleanSlate(): Promise<void> {
  await sql`delete from mirror.change`.execute(world.db);
  await sql`delete from mirror.account`.execute(world.db);
}

/** Every row of groups, members and changes, by where it lies and who wrote it: a row written again is another. */
async function versions(): Promise<unknown> {
  const { rows } = await sql`
    select 'group' as what, ctid::text, xmin::text from mirror.friend_group
    union all select 'member', ctid::text, xmin::text from mirror.friend_group_member
    union all select 'change', ctid::text, xmin::text from mirror.change
  `.execute(world.db);
  return rows;
}

/** A moment before the first, and one halfway between each two. */
async function momentsBetween(moments: readonly string[]): Promise<readonly string[]> {
  const { rows } = await sql<{ at: string }>`
    select coalesce(before + (at - before) / 2, at - interval '1 second')::text as at from (
      select at, lag(at) over (order by at) as before from unnest(${moments}::timestamptz[]) at
    ) pair
  `.execute(world.db);
  return rows.map(({ at }) => at);
}

describe('snapshots of an account, one after the other', () => {
  test(
    'are the mirror, the feed’s replay and the history, now and at each moment',
    async () => {
      const property = fc.asyncProperty(
        fc.array(snapshot, { minLength: 2, maxLength: 5 }),
        async (reported) => {
          await cleanSlate();
          const { id, report, verifiedAt } = await startAccount();
          const moments: { at: string; rows: readonly string[] }[] = [];
          for (const groups of reported) {
            await report(groups);
            const rows = rowsOfSnapshot(id, groups);
            moments.push({ at: await verifiedAt(), rows });
            expect(await currentRows(world.db)).toEqual(rows);
            expect(await replayFeed(world.db)).toEqual(rows);
            const counts = (await readMirrorRows(world.db, testApp.appId)).groups;
            expect(new Map(counts.map(([, name, count]) => [name, count]))).toEqual(
              new Map(groups.map(({ name, friendNumber }) => [name, friendNumber])),
            );
          }
          for (const { at, rows } of [...moments, { at: 'infinity', rows: moments.at(-1)?.rows ?? [] }]) {
            expect(await rowsAt(world.db, at)).toEqual(rows);
            expect(await replayFeed(world.db, at)).toEqual(rows);
          }
          // Between two reads the mirror knows what it knew after the first.
          for (const at of await momentsBetween(moments.map((moment) => moment.at)))
            expect(await rowsAt(world.db, at)).toEqual(await replayFeed(world.db, at));
        },
      );
      await fc.assert(property, { seed: world.seed, numRuns: runs(25) });
    },
    runs(60_000),
  );

  test(
    'sent again and compared in full, write no row',
    async () => {
      const property = fc.asyncProperty(snapshot, snapshot, async (before, after) => {
        await cleanSlate();
        const { key, report } = await startAccount();
        await report(before);
        await report(after);
        const written = await versions();
        // Without a hash the answer is compared with every row.
        await requestFullRead(world.db, key);
        await report(after);
        expect(await versions()).toEqual(written);
      });
      await fc.assert(property, { seed: world.seed, numRuns: runs(20) });
    },
    runs(60_000),
  );

  test(
    'have a life in the history for each time that something came, when it is deleted and added again',
    async () => {
      const lives = fc.array(fc.boolean(), { minLength: 2, maxLength: 6 });
      const property = fc.asyncProperty(lives, lives, async (groupThere, memberThere) => {
        await cleanSlate();
        const { report } = await startAccount();
        const stays = { name: 'stays', friendNumber: 1, members: ['x'] };
        const seen = groupThere.map((there, moment) => ({
          group: there,
          member: there && memberThere[moment] === true,
        }));
        for (const { group, member } of seen) {
          const again = { name: 'again', friendNumber: 1, members: member ? ['x', 'y'] : ['x'] };
          await report(group ? [stays, again] : [stays]);
        }
        const { rows } = await sql<{ friend: string | null; ended: boolean }>`
        select null as friend, removed_at is not null as ended, added_at from tim.friend_group_history
        where group_name = 'again'
        union all
        select friend_id, removed_at is not null, added_at from tim.friend_group_member_history
        where group_name = 'again'
        order by added_at
      `.execute(world.db);
        const endings = (friend: string | null) =>
          rows.filter((row) => row.friend === friend).map((row) => row.ended);
        expect(endings(null)).toEqual(livesOf(seen.map(({ group }) => group)));
        expect(endings('x')).toEqual(livesOf(seen.map(({ group }) => group)));
        expect(endings('y')).toEqual(livesOf(seen.map(({ member }) => member)));
      });
      await fc.assert(property, { seed: world.seed, numRuns: runs(15) });
    },
    runs(60_000),
  );
});

/** For each time that something came, whether it went again. */
function livesOf(there: readonly boolean[]): readonly boolean[] {
  return there.flatMap((now, moment) => {
    if (!now || there[moment - 1] === true) return [];
    return [there.slice(moment).includes(false)];
  });
}
