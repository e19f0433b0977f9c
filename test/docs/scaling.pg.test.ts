import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { deleteOldHistory } from '../../db/queries/history.ts';
import { blocksOf, readDocument } from '../support/documents.ts';
import { currentRows, replayFeed, rowsAt } from '../support/replay.ts';
import { createWorld, type World } from '../support/world.ts';

/** The statements of docs/scaling.md that begin with this remark. */
function statements(remark: string): string {
  const block = blocksOf(readDocument('docs/scaling.md'), 'sql').find((text) =>
    text.startsWith(`-- ${remark}`),
  );
  if (block === undefined) throw new Error(`docs/scaling.md has no block ${remark}`);
  return block;
}

const run = ({ db }: World, remark: string) => sql.raw(statements(remark)).execute(db);

async function views({ db }: World) {
  const read = async (view: string) =>
    (
      await sql
        .raw(`select * from tim.${view} order by account_id, group_name, friend_id, added_at`)
        .execute(db)
    ).rows;
  return { current: await read('friend_group_members'), history: await read('friend_group_member_history') };
}

async function rowsOf({ db }: World, table: string): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count(*) from ${sql.id('mirror', table)}`.execute(db);
  return rows[0]?.count ?? 0;
}

async function expectTruth(world: World): Promise<void> {
  expect(await world.differences()).toEqual({ missing: [], invented: [] });
  const rows = await currentRows(world.db);
  expect(await replayFeed(world.db)).toEqual(rows);
  expect(await rowsAt(world.db, 'infinity')).toEqual(rows);
}

/** Changes an account at the vendor, and mirrors it. */
async function change(world: World, id: string, times: number): Promise<void> {
  const { truth } = world.vendor;
  for (let time = 0; time < times; time += 1) {
    const group = `group ${id} ${time}`;
    truth.change(id, { kind: 'add_group', group, members: [`friend-${time}`, '朋友👪', id] });
    await world.poll(id);
    truth.change(id, { kind: 'remove_members', group, members: [id] });
    await world.poll(id);
  }
}

test('the member table is partitioned as docs/scaling.md says: the views give the same rows, and the mirror goes on', async () => {
  await using world = await createWorld();
  await run(world, 'settings');
  await world.addAccounts('anna', 'ben', 'cleo');
  await change(world, 'anna', 3);

  await run(world, 'step 1');
  await change(world, 'ben', 2);
  const before = await views(world);
  expect(before.history.length).toBeGreaterThan(before.current.length);
  await run(world, 'step 2');
  expect(await views(world)).toEqual(before);
  const first = await rowsOf(world, 'friend_group_member_1');
  expect(first).toBe(before.history.length);
  expect(await rowsOf(world, 'friend_group_member_2')).toBe(0);

  // Groups that are made from now on have keys beyond the boundary; those of old are written where they are.
  await sql`alter table mirror.friend_group alter column group_key restart with 1000000000`.execute(world.db);
  await change(world, 'cleo', 3);
  world.vendor.truth.change('anna', { kind: 'add_members', group: 'group anna 0', members: ['late'] });
  await world.poll('anna');
  expect(await rowsOf(world, 'friend_group_member_1')).toBe(first + 1);
  expect(await rowsOf(world, 'friend_group_member_2')).toBeGreaterThan(0);
  await expectTruth(world);

  await run(world, 'step 3');
  await sql`alter table mirror.friend_group alter column group_key restart with 2000000000`.execute(world.db);
  await change(world, 'ben', 3);
  expect(await rowsOf(world, 'friend_group_member_3')).toBeGreaterThan(0);
  await expectTruth(world);

  // Retention takes what has ended, in every partition, and nothing else.
  const { current } = await views(world);
  expect(await deleteOldHistory(world.db, 0, 1000)).toBeGreaterThan(3);
  expect(await views(world)).toEqual({
    current,
    history: expect.toSatisfy((rows) => rows.length === current.length),
  });
  await sql`delete from mirror.account where account_id = 'cleo'`.execute(world.db);
  expect(await rowsOf(world, 'friend_group_member_2')).toBe(0);
});
