import { type Kysely, sql } from 'kysely';
import { z } from 'zod';
import type { DB } from '../../db/schema.ts';
import { contentHash } from '../../src/sync/content-hash.ts';

const group = z.object({ name: z.string(), friendNumber: z.number(), members: z.array(z.string()) });

/** Accounts as the vendor holds them. */
export const seedAccounts = z.array(
  z.object({ id: z.string(), sequence: z.number(), groups: z.array(group) }),
);
export type SeedAccount = z.infer<typeof seedAccounts>[number];

const accountsAtOnce = 2000;

/**
 * Writes accounts that are enrolled as if they had been read a moment ago; they are due at once. With `changesPerDay`
 * they have been seen to change that often, and so their line stays long.
 */
export async function seedMirror(
  db: Kysely<DB>,
  appId: number,
  accounts: readonly SeedAccount[],
  changesPerDay?: number,
): Promise<void> {
  for (let start = 0; start < accounts.length; start += accountsAtOnce) {
    await seed(db, appId, accounts.slice(start, start + accountsAtOnce));
  }
  if (changesPerDay !== undefined) {
    await sql`
      update mirror.poll_state set
        weight = sqrt(${changesPerDay}::float8), change_mass = 2 * ${changesPerDay}::float8, changed_at = now(),
        first_polled_at = now() - interval '10 days'
      where app_id = ${appId}
    `.execute(db);
  }
  await sql`vacuum analyze`.execute(db);
}

async function seed(db: Kysely<DB>, appId: number, accounts: readonly SeedAccount[]): Promise<void> {
  const groups = accounts.flatMap(({ id, groups: held }) => held.map((group) => ({ id, ...group })));
  const rows = accounts.map(({ id, sequence, groups: held }) => ({
    id,
    sequence,
    hash: contentHash(held),
    count: held.length,
  }));
  await sql`
    update mirror.poll_state state set
      status = 'active', sequence = seeded.sequence, group_count = seeded.count,
      content_hash = decode(seeded.hash, 'hex'), first_polled_at = now() - interval '1 day', verified_at = now(),
      full_read_at = now(), due_v = 0
    from json_to_recordset(${JSON.stringify(rows)}::json) as seeded (id text, sequence bigint, hash text, count integer)
    join mirror.account on account.app_id = ${appId} and account.account_id = seeded.id
    where state.account_key = account.account_key
  `.execute(db);
  await sql`
    with reported as materialized (
      select account_key, name, number, members
      from json_to_recordset(${JSON.stringify(
        groups.map(({ id, name, friendNumber, members }) => ({ id, name, number: friendNumber, members })),
      )}::json) as reported (id text, name text, number integer, members text[])
      join mirror.account on account.app_id = ${appId} and account.account_id = reported.id
    ),
    begun as (
      insert into mirror.friend_group (account_key, group_name, friend_number, added_at)
      select account_key, name, number, now() from reported
      returning group_key, account_key, group_name
    )
    insert into mirror.friend_group_member (group_key, friend_id, added_at)
    select group_key, unnest(members), now() from begun join reported using (account_key)
    where reported.name = begun.group_name collate "C"
  `.execute(db);
}
