import { type Kysely, sql } from 'kysely';
import type { DB } from '../schema.ts';

/** The identity of the mirror in this database. */
export interface Installation {
  readonly id: string;
  /** Whether it has just been given, because this database is a copy of another installation's. */
  readonly renewed: boolean;
}

/**
 * Reads the installation's identity. In a copy of the database (restored from a dump, or made from a template) it is a
 * new one from now on, so that what the original has on a shared Redis does not concern it. A standby that is
 * promoted keeps it.
 */
export async function settleInstallation(db: Kysely<DB>): Promise<Installation> {
  const place = await readPlace(db);
  const { rows } = await sql<Installation>`
    with before as (select place from mirror.installation for update)
    update mirror.installation set
      installation_id = case when before.place is null then installation_id else gen_random_uuid() end,
      place = ${place},
      made_at = case when before.place is null then made_at else now() end
    from before
    where ${place}::text is not null and installation.place is distinct from ${place}
    returning installation_id as id, before.place is not null as renewed
  `.execute(db);
  if (rows[0] !== undefined) return rows[0];
  const { installation_id: id } = await db
    .selectFrom('mirror.installation')
    .select('installation_id')
    .executeTakeFirstOrThrow();
  return { id, renewed: false };
}

/** Whether the mirror was last at home on another server, which counts its own transactions. */
export async function hasMovedServer(db: Kysely<DB>): Promise<boolean> {
  const place = await readPlace(db);
  const { rows } = await sql<{ moved: boolean | null }>`
    select split_part(place, '/', 1) <> split_part(${place}::text, '/', 1) as moved from mirror.installation
  `.execute(db);
  return rows[0]?.moved === true;
}

/** The server's own number and that of the database; null where this role may not ask. */
async function readPlace(db: Kysely<DB>): Promise<string | null> {
  const { rows: rights } = await sql<{ allowed: boolean }>`
    select has_function_privilege('pg_control_system()', 'execute') as allowed
  `.execute(db);
  if (rights[0]?.allowed !== true) return null;
  const { rows } = await sql<{ place: string }>`
    select format('%s/%s', system_identifier, pg_database.oid) as place
    from pg_control_system(), pg_database where datname = current_database()
  `.execute(db);
  return rows[0]?.place ?? null;
}

/** Raises the installation's beat; returns it and whose it is. */
export async function raiseBeat(db: Kysely<DB>): Promise<{ readonly id: string; readonly beat: number }> {
  const { installation_id: id, beat } = await db
    .updateTable('mirror.installation')
    .set({ beat: sql`beat + 1` })
    .returning(['installation_id', 'beat'])
    .executeTakeFirstOrThrow();
  return { id, beat };
}

/** Gives the installation a new identity, unless another process has done so since it was `id`. */
export async function renewInstallation(db: Kysely<DB>, id: string): Promise<void> {
  await sql`
    update mirror.installation set installation_id = gen_random_uuid(), made_at = now()
    where installation_id = ${id}
  `.execute(db);
}
