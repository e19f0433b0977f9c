import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { type Kysely, sql, type Transaction } from 'kysely';
import type { Database, DB } from './client.ts';
import { settleInstallation } from './queries/installation.ts';

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
 * once; the others wait and find nothing to do. Throws SchemaError when the database is newer than the program.
 */
export async function migrate(db: Database): Promise<MigrationReport> {
  const known = knownMigrations();
  return db.transaction().execute(async (trx) => {
    await sql`select pg_advisory_xact_lock(hashtext('tim-mirror migrate'))`.execute(trx);
    await sql`create schema if not exists mirror`.execute(trx);
    await sql`
      create table if not exists mirror.migration (
        version integer primary key,
        name text not null,
        checksum text not null,
        applied_at timestamptz not null default now()
      )
    `.execute(trx);
    const missing = compare(known, await readApplied(trx));
    for (const migration of missing) await apply(trx, migration);
    await settleInstallation(trx);
    return { applied: missing.map((migration) => migration.name), version: known.at(-1)?.version ?? 0 };
  });
}

/** Throws SchemaError unless the database has exactly the schema this program was written for. */
export async function assertSchema(db: Database): Promise<void> {
  const { rows } = await sql<{ found: boolean }>`
    select to_regclass('mirror.migration') is not null as found
  `.execute(db);
  const missing = compare(knownMigrations(), rows[0]?.found ? await readApplied(db) : []);
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
    if (migration?.checksum !== row.checksum) {
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
