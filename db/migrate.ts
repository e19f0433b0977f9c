import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { type Kysely, sql, type Transaction } from 'kysely';
import type { Database, DB } from './client.ts';
import { ensureReaderRole, grantToReaders } from './reader-role.ts';
import { supersededChecksums } from './superseded-checksums.ts';

/** The database's schema is not the one this program was written for. The message says what to do. */
export class SchemaError extends Error {
  override readonly name = 'SchemaError';
}

interface Migration {
  readonly version: number;
  readonly name: string;
  readonly text: string;
  readonly checksum: string;
}

interface Applied {
  readonly version: number;
  readonly name: string;
  readonly checksum: string;
}

/** What `migrate` did. */
export interface MigrationReport {
  readonly applied: readonly string[];
  readonly version: number;
}

const missingRole =
  'Role tim_reader is missing and this user may not create it; let an administrator run: create role tim_reader nologin;';
const folder = new URL('./migrations/', import.meta.url);

/** The migrations that this program brings along, oldest first. */
function knownMigrations(): readonly Migration[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.sql'))
    .sort()
    .map((file) => {
      const text = readFileSync(new URL(file, folder), 'utf8');
      return {
        version: Number(file.slice(0, 4)),
        name: file.slice(0, -'.sql'.length),
        text,
        checksum: createHash('sha256').update(text).digest('hex'),
      };
    });
}

/**
 * Brings the schema up to date, in one transaction: all of it or nothing. Safe to run from several places at
 * once; the others wait and find nothing to do. Makes the role of analysts and its grants whatever the version, for a
 * restore into another server loses both. Throws SchemaError when the database is newer than the program, or the
 * role is missing and this user may not create it.
 */
export async function migrate(db: Database): Promise<MigrationReport> {
  const known = knownMigrations();
  return db.transaction().execute(async (trx) => {
    await sql`select pg_advisory_xact_lock(hashtext('tim-mirror migrate'))`.execute(trx);
    if (!(await hasRecord(trx))) await createRecord(trx);
    const missing = compare(known, await readApplied(trx));
    // Also with nothing to do: the role belongs to the server, which may be another since.
    if (!(await ensureReaderRole(trx))) throw new SchemaError(missingRole);
    for (const migration of missing) await apply(trx, migration);
    await grantToReaders(trx);
    return { applied: missing.map((migration) => migration.name), version: known.at(-1)?.version ?? 0 };
  });
}

/** Whether the record of migrations is there. Postgres asks for the right to create even where nothing is missing. */
async function hasRecord(db: Kysely<DB>): Promise<boolean> {
  const { rows } = await sql<{ found: boolean }>`
    select to_regclass('mirror.migration') is not null as found
  `.execute(db);
  return rows[0]?.found ?? false;
}

async function createRecord(trx: Transaction<DB>): Promise<void> {
  await sql`create schema if not exists mirror`.execute(trx);
  await sql`
    create table mirror.migration (
      version integer primary key,
      name text not null,
      checksum text not null,
      applied_at timestamptz not null default now()
    )
  `.execute(trx);
}

/** Throws SchemaError unless the database has exactly the schema this program was written for. */
export async function assertSchema(db: Database): Promise<void> {
  const missing = compare(knownMigrations(), (await hasRecord(db)) ? await readApplied(db) : []);
  if (missing.length > 0) {
    throw new SchemaError(
      `The database’s schema is older than this tim-mirror (${missing.length} migrations missing); run: tim-mirror migrate`,
    );
  }
}

/** The migrations not yet applied. */
function compare(known: readonly Migration[], applied: readonly Applied[]): readonly Migration[] {
  const newest = applied.at(-1)?.version ?? 0;
  if (newest > (known.at(-1)?.version ?? 0)) {
    throw new SchemaError(
      `The database’s schema (${newest}) is newer than this tim-mirror knows (${known.at(-1)?.version}); start the newer tim-mirror.`,
    );
  }
  for (const row of applied) {
    const migration = known.find((candidate) => candidate.version === row.version);
    const superseded = supersededChecksums[row.name] ?? [];
    if (migration?.checksum !== row.checksum && !superseded.includes(row.checksum)) {
      throw new SchemaError(
        `Migration ${row.name} was applied in another wording than this tim-mirror brings along; use the release that made this database.`,
      );
    }
  }
  return known.slice(applied.length);
}

async function readApplied(db: Kysely<DB>): Promise<readonly Applied[]> {
  const { rows } = await sql<Applied>`
    select version, name, checksum from mirror.migration order by version
  `.execute(db);
  return rows;
}

async function apply(trx: Transaction<DB>, migration: Migration): Promise<void> {
  await sql.raw(migration.text).execute(trx);
  await sql`
    insert into mirror.migration (version, name, checksum)
    values (${migration.version}, ${migration.name}, ${migration.checksum})
  `.execute(trx);
}
