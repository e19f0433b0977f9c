import { type Kysely, sql } from 'kysely';
import type { DB } from '../schema.ts';

/** What every poll or claim writes to. */
const written = [
  'account',
  'activity',
  'app',
  'change',
  'friend_group',
  'friend_group_member',
  'poll_outcome',
  'poll_state',
] as const;

/** Tables of the mirror that this user may not both read and write; empty when all is well. */
export async function findMissingRights(db: Kysely<DB>): Promise<readonly string[]> {
  const { rows } = await sql<{ name: string }>`
    select relname as name from pg_class
    where relnamespace = to_regnamespace('mirror') and relname = any (${written}::text[]) and not (
      has_table_privilege(oid, 'select') and has_table_privilege(oid, 'insert') and has_table_privilege(oid, 'update')
    )
    order by relname
  `.execute(db);
  return rows.map(({ name }) => name);
}

/** Whether this user may keep queues in the database: BullMQ writes to its tables, and makes sequences beside them. */
export async function mayKeepQueues(db: Kysely<DB>): Promise<boolean> {
  const { rows } = await sql<{ may: boolean }>`
    select coalesce(
      has_schema_privilege(oid, 'usage') and has_schema_privilege(oid, 'create') and not exists (
        select from pg_class where relnamespace = space.oid and relkind = 'r' and not (
          has_table_privilege(oid, 'select') and has_table_privilege(oid, 'insert')
          and has_table_privilege(oid, 'update') and has_table_privilege(oid, 'delete')
        )
      ), true) as may
    from pg_namespace space where nspname = 'bullmq'
  `.execute(db);
  return rows[0]?.may ?? true;
}

/** Whether writes are refused here: on a standby, or where the role or the database only reads. */
export async function isReadOnly(db: Kysely<DB>): Promise<boolean> {
  const { rows } = await sql<{ only: boolean }>`
    select current_setting('transaction_read_only') = 'on' as only
  `.execute(db);
  return rows[0]?.only === true;
}
