import { sql, type Transaction } from 'kysely';
import { SchemaError } from './migrate.ts';
import { waitForTurnToGrant } from './reader-role.ts';
import type { DB } from './schema.ts';

/**
 * Gives a role that owns nothing all that the daemon and the commands but `migrate` need, and nothing more: neither may
 * it change or drop a table, nor write the record of migrations. Rights that it has are left as they are. Throws
 * SchemaError when there is no such role, or when this user does not own what it is to give rights on.
 */
export async function grantToDaemon(trx: Transaction<DB>, role: string): Promise<void> {
  await waitForTurnToGrant(trx);
  const { rows } = await sql<{ found: boolean }>`
    select exists (select from pg_roles where rolname = ${role}) as found
  `.execute(trx);
  if (!rows[0]?.found)
    throw new SchemaError(
      `There is no role ${role} to give the daemon’s rights to; let an administrator run: create role ${role} login password '…';`,
    );
  for (const { statement } of await missingGrants(trx, role)) await sql.raw(statement).execute(trx);
  // Postgres only warns of a grant that its user has no right to give.
  const [left] = await missingGrants(trx, role);
  if (left !== undefined)
    throw new SchemaError(
      `This user may not run: ${left.statement}; run migrate as the owner of the schemas mirror, tim and bullmq.`,
    );
}

async function missingGrants(trx: Transaction<DB>, role: string): Promise<readonly { statement: string }[]> {
  const { rows } = await sql<{ statement: string }>`
    with ours (schema, rights) as (
      values ('mirror', 'usage'), ('tim', 'usage'), ('bullmq', 'usage'),
      -- Queues make sequences of their own.
      ('bullmq', 'create')
    ),
    relation as (
      select oid, relkind, relnamespace::regnamespace::text as schema,
        case
          when relkind = 'S' then 'usage, select, update'
          when relnamespace = 'tim'::regnamespace or oid = 'mirror.migration'::regclass then 'select'
          else 'select, insert, update, delete'
        end as rights
      from pg_class
      where relnamespace in ('mirror'::regnamespace, 'tim'::regnamespace, 'bullmq'::regnamespace)
        and relkind in ('r', 'p', 'v', 'S')
    )
    select format('grant %s on schema %I to %I', rights, schema, ${role}::text) as statement
    from ours where not has_schema_privilege(${role}, schema, rights)
    union all
    select format(
      'grant %s on %s %s to %I', rights, case relkind when 'S' then 'sequence' else 'table' end, oid::regclass, ${role}::text
    )
    from relation
    -- Of several rights has_table_privilege asks for any.
    where exists (
      select from unnest(string_to_array(rights, ', ')) as one
      where not case relkind
        when 'S' then has_sequence_privilege(${role}, oid, one) else has_table_privilege(${role}, oid, one)
      end
    )
    union all
    select format('grant execute on function %s to %I', oid::regprocedure, ${role}::text)
    from pg_proc
    where pronamespace in ('mirror'::regnamespace, 'tim'::regnamespace, 'bullmq'::regnamespace)
      and prokind = 'f' and not has_function_privilege(${role}, oid, 'execute')
  `.execute(trx);
  return rows;
}
