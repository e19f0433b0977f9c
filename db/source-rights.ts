import type pg from 'pg';
import { connectToSource, patiently } from './source-rows.ts';

interface Rights {
  readonly isSuperuser: boolean;
  readonly membership: string | null;
  readonly table: string | null;
  readonly function: string | null;
}

/** What is asked is little; a source that is slower says why when it is read. */
const timeoutMs = 10_000;
const closeMs = 2000;

/**
 * What the role of a source of accounts may do besides reading, in a sentence; undefined where nothing is known of the
 * kind, or the source can't be reached; the read reports that. We read in a read-only transaction. That stops
 * statements that write, and neither functions that write elsewhere nor a superuser.
 */
export async function findSourceRisk(url: string, signal: AbortSignal): Promise<string | undefined> {
  let client: pg.Client | undefined;
  try {
    client = connectToSource(url, timeoutMs);
    const rights = await patiently(askRights(client), timeoutMs, signal);
    const may = rights === undefined ? undefined : formatMore(rights);
    return may === undefined
      ? undefined
      : `The role that reads the source of the accounts ${may}, and a read-only transaction does not stop all of that; give it a role of its own that may select from one table.`;
  } catch {
    return undefined;
  } finally {
    if (client !== undefined) await patiently(client.end(), closeMs).catch(() => undefined);
  }
}

async function askRights(client: pg.Client): Promise<Rights | undefined> {
  await client.connect();
  await client.query('begin transaction read only');
  // Who owns the source may have functions and operators of his own under Postgres' names.
  await client.query('set local search_path = pg_catalog');
  await client.query(`set local statement_timeout = ${timeoutMs}`);
  return (await client.query<Rights>(question)).rows[0];
}

function formatMore(rights: Rights): string | undefined {
  if (rights.isSuperuser) return 'is a superuser, or may become one';
  if (rights.membership !== null) return `is a member of ${rights.membership}`;
  if (rights.function !== null) return `may call ${rights.function}`;
  if (rights.table !== null) return `may write the table ${rights.table}`;
  return undefined;
}

const question = `
  with taken as materialized (
    -- Roles that it may become, those too whose rights it does not have until then.
    select oid, rolname, rolsuper from pg_roles where pg_has_role(oid, 'member')
  )
  select
    exists (select from taken where rolsuper) as "isSuperuser",
    (
      select min(rolname::text) from taken
      where rolname in ('pg_write_all_data', 'pg_write_server_files', 'pg_execute_server_program')
    ) as membership,
    (
      select relation.oid::regclass::text from pg_class as relation, taken
      where relkind in ('r', 'p', 'v', 'f')
        and relnamespace <> all (array['pg_catalog', 'information_schema', 'pg_toast']::regnamespace[]::oid[])
        and (
          has_table_privilege(taken.oid, relation.oid, 'delete, truncate')
          or has_any_column_privilege(taken.oid, relation.oid, 'insert, update')
        )
      limit 1
    ) as "table",
    (
      select oid::regproc::text from pg_proc
      where proname in ('dblink', 'dblink_exec', 'dblink_send_query') and has_function_privilege(oid, 'execute')
      limit 1
    ) as "function"
`;
