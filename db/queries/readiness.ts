import { type Kysely, sql } from 'kysely';
import { relationRights } from '../daemon-rights.ts';
import type { DB } from '../schema.ts';

/** The tables of schema mirror, all of which the daemon works with. */
export const tables = [
  'account',
  'account_source',
  'activity',
  'app',
  'audit',
  'change',
  'ended_session',
  'feed',
  'friend_group',
  'friend_group_member',
  'held_removal',
  'installation',
  'learning',
  'migration',
  'poll_outcome',
  'poll_state',
  'sequence_evidence',
  'shrunk_account',
] as const;

/** What keeps this user from working with the mirror's tables, or with the queues in schema bullmq; empty when nothing does. */
interface Obstacles {
  /** Tables that are not there. */
  readonly missing: readonly string[];
  /** Tables and sequences that the user may not work with as the daemon does. */
  readonly forbidden: readonly string[];
}

/** Looks only into the catalogue. `withQueues`: the daemon keeps its queues in Postgres. */
export async function findObstacles(db: Kysely<DB>, withQueues: boolean): Promise<Obstacles> {
  const { rows } = await sql<{ name: string; is_missing: boolean }>`
    with relation as (${relationRights}),
    wanted as (
      select 'mirror' as nsp, name from unnest(${tables}::text[]) as name
      union all
      -- One table is enough: the daemon checks all of BullMQ's when it starts.
      select 'bullmq', 'job' where ${withQueues}
    )
    select format('%s.%s', nsp, name) as name, true as is_missing from wanted
    where not exists (select from pg_class where relname = wanted.name and relnamespace::regnamespace::text = nsp)
    union all
    select format('%s.%s', nsp, relname), false from relation
    -- Partitions are written through their parent.
    where not relispartition and (nsp = 'mirror' or nsp = 'bullmq' and ${withQueues}) and exists (
      select from unnest(string_to_array(rights, ', ')) as one
      where not case relkind when 'S' then has_sequence_privilege(oid, one) else has_table_privilege(oid, one) end
    )
    union all
    select 'schema bullmq', false from pg_namespace
    where ${withQueues} and nspname = 'bullmq'
      and not (has_schema_privilege(oid, 'usage') and has_schema_privilege(oid, 'create'))
    order by name
  `.execute(db);
  const names = (missing: boolean) =>
    rows.filter((row) => row.is_missing === missing).map(({ name }) => name);
  return { missing: names(true), forbidden: names(false) };
}

/** Whether writes are refused here: on a standby, or where the role or the database only reads. */
export async function isReadOnly(db: Kysely<DB>): Promise<boolean> {
  const { rows } = await sql<{ only: boolean }>`
    select current_setting('transaction_read_only') = 'on' as only
  `.execute(db);
  return rows[0]?.only === true;
}
