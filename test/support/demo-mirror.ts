import { sql } from 'kysely';
import type { Database } from '../../db/client.ts';
import { enrolAccounts } from '../../db/queries/accounts.ts';
import { ensureApp } from '../../db/queries/apps.ts';
import { loadGroups } from '../../db/queries/groups.ts';
import { populateDemo } from '../../src/simulator/demo-people.ts';
import { randomChange } from '../../src/simulator/population.ts';
import { createTruth, type Truth } from '../../src/simulator/truth.ts';
import { diffGroups } from '../../src/sync/diff.ts';
import { writeGroups } from '../../src/sync/write-groups.ts';
import { testApp } from './world.ts';

const dayMs = 86_400_000;
const firstDay = Date.parse('2026-11-01T00:00:00Z');
const days = 7;
const changesADay = 150;
/** The last of them were enrolled and have not been read yet. */
const neverPolled = 3;

/**
 * The mirror of the demo's 500 people as documents show it: read a second apart on the first of November 2026, then
 * after each of six days on which 150 things changed. The same rows each time.
 */
export async function fillDemoMirror(db: Database): Promise<void> {
  const truth = createTruth();
  const { ids, random } = populateDemo(truth);
  await ensureApp(db, testApp);
  await enrolAccounts(db, testApp.appId, ids);
  await sql`update mirror.account set enrolled_at = ${new Date(firstDay - dayMs)}`.execute(db);
  await sql
    .raw(`
      create table if not exists mirror.change_2026_11
      partition of mirror.change for values from ('2026-11-01Z') to ('2026-12-01Z')
    `)
    .execute(db);
  const read = ids.slice(0, -neverPolled);
  for (let day = 0; day < days; day += 1) {
    const changed = new Set(day === 0 ? read : []);
    for (let count = 0; day > 0 && count < changesADay; count += 1) {
      const id = random.pick(read);
      if (truth.change(id, randomChange(truth, id, ids, random, 1))) changed.add(id);
    }
    const at = (id: string) => firstDay + day * dayMs + read.indexOf(id) * 1000;
    for (const id of read) if (changed.has(id)) await sync(db, truth, id, at(id));
  }
  const last = firstDay + (days - 1) * dayMs;
  await sql`
    update mirror.poll_state state set
      status = 'active',
      first_polled_at = ${new Date(firstDay)},
      verified_at = ${new Date(last)}::timestamptz + (account_key - first) * interval '1 second',
      group_count = (
        select count(*) from mirror.friend_group
        where friend_group.account_key = state.account_key and removed_at is null
      ),
      changed_at = (select max(observed_at) from mirror.change where change.account_key = state.account_key)
    from (select min(account_key) as first from mirror.account) mine
    where account_key in (select account_key from mirror.account where account_id = any(${read}::text[]))
  `.execute(db);
}

async function sync(db: Database, truth: Truth, id: string, at: number): Promise<void> {
  const account = truth.account(id);
  const groups = [...(account?.groups ?? [])].map(([name, { members }]) => ({
    name,
    friendNumber: members.size,
    members: [...members],
  }));
  await db.transaction().execute(async (trx) => {
    const { account_key: accountKey } = await trx
      .selectFrom('mirror.account')
      .select('account_key')
      .where('account_id', '=', id)
      .executeTakeFirstOrThrow();
    const diff = diffGroups(await loadGroups(trx, accountKey), groups);
    const sequence = account?.sequence ?? 0;
    await writeGroups(trx, { appId: testApp.appId, accountKey, at, sequence }, diff);
    await sql`update mirror.poll_state set sequence = ${sequence} where account_key = ${accountKey}`.execute(
      trx,
    );
  });
}
