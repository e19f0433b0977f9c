import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { insertMembers } from '../../db/queries/groups.ts';
import { holdRemovals, releaseRemovals } from '../../db/queries/held-removals.ts';
import { deleteOldHistory, ensureChangePartitions } from '../../db/queries/history.ts';
import { removeAccounts } from '../../src/accounts/remove-accounts.ts';
import { blocksOf, readDocument } from '../support/documents.ts';
import { currentRows, replayFeed } from '../support/replay.ts';
import { createWorld, testApp, type World } from '../support/world.ts';

/** Tables of every schema of ours whose rows a publication could not name. */
async function tablesWithoutIdentity({ db }: World): Promise<readonly string[]> {
  const { rows } = await sql<{ name: string }>`
    select oid::regclass::text as name from pg_class
    where relkind = 'r' and relpersistence = 'p'
      and relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
      and not exists (
        select from pg_index
        where indrelid = pg_class.oid and indisvalid
          and case when relreplident = 'i' then indisreplident else relreplident = 'd' and indisprimary end
      )
    order by 1
  `.execute(db);
  return rows.map(({ name }) => name);
}

/** What Debezium, an upgrade by blue and green, or an ETL tool makes. */
const publishAll = ({ db }: World) => sql`create publication everything for all tables`.execute(db);

async function partitionMembers({ db }: World): Promise<void> {
  for (const remark of ['step 1', 'step 2', 'step 3']) {
    const text = blocksOf(readDocument('docs/scaling.md'), 'sql').find((block) =>
      block.startsWith(`-- ${remark}`),
    );
    await sql.raw(text ?? '').execute(db);
  }
}

describe('every table that is updated or deleted from has an identity for its rows', () => {
  test('the queues too, and the months of the feed that are made later', async () => {
    await using world = await createWorld();
    expect(await tablesWithoutIdentity(world)).toEqual([]);
    expect((await ensureChangePartitions(world.db, 9)).made).toBeGreaterThan(4);
    expect(await tablesWithoutIdentity(world)).toEqual([]);
  });

  test('members that an operator has partitioned too', async () => {
    await using world = await createWorld();
    await partitionMembers(world);
    expect(await tablesWithoutIdentity(world)).toEqual([]);
  });

  test('a table without one is found', async () => {
    await using world = await createWorld();
    await sql`alter table mirror.friend_group_member drop constraint friend_group_member_pkey`.execute(
      world.db,
    );
    expect(await tablesWithoutIdentity(world)).toEqual(['mirror.friend_group_member']);
  });
});

describe.each([
  ['whole', async () => undefined],
  ['partitioned', partitionMembers],
] as const)('under a publication for all tables, with the members %s', (_, prepare) => {
  test('polls remove members and groups, removals are held and released, history ends, accounts go with all trace', async () => {
    await using world = await createWorld();
    await prepare(world);
    await publishAll(world);
    const { truth } = world.vendor;
    await world.addAccounts('anna', 'ben');
    for (const id of ['anna', 'ben']) {
      truth.change(id, { kind: 'add_group', group: 'a', members: ['x', 'y', 'z'] });
      truth.change(id, { kind: 'add_group', group: 'b', members: ['x'] });
      expect((await world.poll(id)).outcome).toBe('changed');
      truth.change(id, { kind: 'remove_members', group: 'a', members: ['x'] });
      expect((await world.poll(id)).outcome).toBe('changed');
    }

    truth.change('anna', { kind: 'remove_group', group: 'b' });
    await holdRemovals(world.db, testApp.appId, { shrunk: 1, read: 1, windowSeconds: 60 });
    expect((await world.poll('anna')).outcome).toBe('removal_held');
    await world.db.transaction().execute((trx) => releaseRemovals(trx, testApp.appId, 60));
    expect((await world.poll('anna')).outcome).toBe('changed');

    // A friend who comes back has a second life.
    truth.change('anna', { kind: 'add_members', group: 'a', members: ['x'] });
    expect((await world.poll('anna')).outcome).toBe('changed');
    expect(await world.differences()).toEqual({ missing: [], invented: [] });
    expect(await replayFeed(world.db)).toEqual(await currentRows(world.db));

    expect(await deleteOldHistory(world.db, 0, 1000)).toBeGreaterThan(2);
    expect(await removeAccounts(world.db, testApp.appId, ['ben'], true)).toEqual({
      removed: ['ben'],
      purged: 1,
    });
    const { rows } = await sql`
      select from tim.changes where account_id = 'ben' or account_id is null
    `.execute(world.db);
    expect(rows).toEqual([]);
  });
});

test('a friend who is in a group already is not added again, and nothing of that transaction stays', async () => {
  await using world = await createWorld();
  await world.addAccounts('anna');
  world.vendor.truth.change('anna', { kind: 'add_group', group: 'a', members: ['x'] });
  await world.poll('anna');
  const before = await currentRows(world.db);
  const [group] = await world.db.selectFrom('mirror.friend_group').select('group_key').execute();
  const groupKey = Number(group?.group_key);
  await expect(
    world.db.transaction().execute((trx) =>
      insertMembers(trx, Date.now(), [
        { groupKey, friendId: 'y' },
        { groupKey, friendId: 'x' },
      ]),
    ),
  ).rejects.toThrow('in the group already');
  expect(await currentRows(world.db)).toEqual(before);
});
