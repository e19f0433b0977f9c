import { sql, type Transaction } from 'kysely';
import { relationRights, schemaRights } from './daemon-rights.ts';
import { SchemaError } from './migrate.ts';
import { readerRole, waitForTurnToGrant } from './reader-role.ts';
import type { DB } from './schema.ts';
import { codeOf } from './storage-errors.ts';

/**
 * Gives a role that owns nothing all that the daemon and the commands but `migrate` need, and nothing more: neither may
 * it change or drop a table, nor write the record of migrations. Rights that it has are left as they are. Throws
 * SchemaError when there is no such role, or when this user does not own what it is to give rights on.
 */
export async function grantToDaemon(trx: Transaction<DB>, role: string): Promise<void> {
  if (role === readerRole)
    throw new SchemaError(
      `${readerRole} is the role of analysts, who only read; name another role for the daemon.`,
    );
  await waitForTurnToGrant(trx);
  const { rows } = await sql<{ found: boolean }>`
    select exists (select from pg_roles where rolname = ${role}) as found
  `.execute(trx);
  if (!rows[0]?.found)
    throw new SchemaError(
      `There is no role ${role} to give the daemon’s rights to; let an administrator run: create role ${quoted(role)} login password '…';`,
    );
  const missing = await missingGrants(trx, role);
  const foreign = missing.find(({ owner }) => owner !== null);
  if (foreign?.owner)
    throw new SchemaError(
      `${foreign.object} belongs to the role ${foreign.owner}, and not to the user that migrates; let an administrator run in this database: reassign owned by ${quoted(foreign.owner)} to <the user that migrates>;`,
    );
  for (const { statement } of missing)
    await sql
      .raw(statement)
      .execute(trx)
      .catch((error: unknown) => {
        throw codeOf(error) === '42501' ? mayNot(statement) : error;
      });
  // Postgres only warns of a grant that its user has no right to give.
  const [left] = await missingGrants(trx, role);
  if (left !== undefined) throw mayNot(left.statement);
}

function mayNot(statement: string): SchemaError {
  return new SchemaError(
    `This user may not run: ${statement}; run migrate as the owner of the schemas mirror, tim and bullmq.`,
  );
}

/** A name as SQL takes it, with its capitals. */
function quoted(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

interface MissingGrant {
  readonly statement: string;
  readonly object: string | null;
  /** Who owns the object, where that is a role that this user does not belong to. Queues in Postgres make such sequences. */
  readonly owner: string | null;
}

async function missingGrants(trx: Transaction<DB>, role: string): Promise<readonly MissingGrant[]> {
  const { rows } = await sql<MissingGrant>`
    with ours (schema, rights) as (values ${sql.join(schemaRights.map((row) => sql`(${sql.join(row)})`))}),
    relation as (${relationRights})
    select format('grant %s on schema %I to %I', rights, schema, ${role}::text) as statement, null::text as object, null::text as owner
    from ours where not has_schema_privilege(${role}, schema, rights)
    union all
    select format(
      'grant %s on %s %s to %I', rights, case relkind when 'S' then 'sequence' else 'table' end, oid::regclass, ${role}::text
    ),
    oid::regclass::text,
    case when not pg_has_role(relowner, 'usage') and pg_has_role(nspowner, 'usage') then pg_get_userbyid(relowner)::text end
    from relation
    -- Of several rights has_table_privilege asks for any.
    where exists (
      select from unnest(string_to_array(rights, ', ')) as one
      where not case relkind
        when 'S' then has_sequence_privilege(${role}, oid, one) else has_table_privilege(${role}, oid, one)
      end
    )
    union all
    select format('grant execute on function %s to %I', oid::regprocedure, ${role}::text), null, null
    from pg_proc
    where pronamespace in ('mirror'::regnamespace, 'tim'::regnamespace, 'bullmq'::regnamespace)
      and prokind = 'f' and not has_function_privilege(${role}, oid, 'execute')
  `.execute(trx);
  return rows;
}
