import { sql, type Transaction } from 'kysely';
import type { DB } from './schema.ts';

/** The role of analysts, which belongs to the whole server: no dump of a database holds it. */
export const readerRole = 'tim_reader';

/**
 * Makes the role of analysts where the server lacks it. Returns false where this user may not; then an administrator
 * must. Looks first, so that no right is needed for what is there.
 */
export async function ensureReaderRole(trx: Transaction<DB>): Promise<boolean> {
  const { rows } = await sql<{ found: boolean; may: boolean }>`
    select
      exists (select from pg_roles where rolname = ${readerRole}) as found,
      exists (select from pg_roles where rolname = current_user and (rolcreaterole or rolsuper)) as may
  `.execute(trx);
  if (rows[0]?.found) return true;
  if (!rows[0]?.may) return false;
  await sql
    .raw(`
      do $$
      begin
        create role ${readerRole} nologin;
      exception
        -- Another database of this server made it at this moment.
        when duplicate_object or unique_violation then null;
      end
      $$
    `)
    .execute(trx);
  return true;
}

/** Lets one grant at a time: two that change the rights of one object at once end in an error. */
export async function waitForTurnToGrant(trx: Transaction<DB>): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtext('tim-mirror grants'))`.execute(trx);
}

/** Gives the role what it lacks of its rights on schema tim, and nothing where it has them all. */
export async function grantToReaders(trx: Transaction<DB>): Promise<void> {
  await waitForTurnToGrant(trx);
  const { rows } = await sql<{ statement: string }>`
    select format('grant usage on schema tim to %I', ${readerRole}::text) as statement
    where not has_schema_privilege(${readerRole}, 'tim', 'usage')
    union all
    select format('grant select on %s to %I', oid::regclass, ${readerRole}::text)
    from pg_class
    where relnamespace = 'tim'::regnamespace and relkind = 'v' and not has_table_privilege(${readerRole}, oid, 'select')
    union all
    select format('grant execute on function %s to %I', oid::regprocedure, ${readerRole}::text)
    from pg_proc
    where pronamespace = 'tim'::regnamespace and not has_function_privilege(${readerRole}, oid, 'execute')
  `.execute(trx);
  for (const { statement } of rows) await sql.raw(statement).execute(trx);
}
