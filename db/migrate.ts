import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Kysely, sql, type Transaction } from 'kysely';
import type { Database, DB } from './client.ts';
import { giveRowsIdentities } from './migrations/0006_row_identities.ts';
import type { Say } from './online-ddl.ts';
import type { FeedJump } from './queries/feed.ts';
import { ensureReaderRole, grantToReaders } from './reader-role.ts';
import { settleIn } from './settle-in.ts';
import { supersededChecksums } from './superseded-checksums.ts';

/** The database's schema is not the one this program was written for. The message says what to do. */
export class SchemaError extends Error {
  override readonly name = 'SchemaError';
}

/**
 * A migration that a transaction would make unbearable: it runs outside one, on one connection, beside daemons and
 * analysts. It is idempotent, for it is carried out again after it was interrupted at any line.
 */
type MigrationScript = (connection: Database, say: Say) => Promise<void>;

interface Migration {
  readonly version: number;
  readonly name: string;
  readonly text: string;
  readonly checksum: string;
  /** Undefined where the text is SQL, carried out in one transaction. */
  readonly script: MigrationScript | undefined;
}

interface Applied {
  readonly version: number;
  readonly name: string;
  readonly checksum: string;
}

/** What `migrate` did. */
interface MigrationReport {
  readonly applied: readonly string[];
  readonly version: number;
  /** How the numbers of the feed went on, where they had to. */
  readonly jump: FeedJump | undefined;
}

interface MigrateOptions {
  /** Called for what a long migration does or waits for. */
  readonly say?: Say;
  /** The mirror comes from a backup that may be older than what consumers of the feed have read. */
  readonly restored?: boolean;
}

const missingRole =
  'Role tim_reader is missing and this user may not create it; let an administrator run: create role tim_reader nologin;';
const folder = new URL('./migrations/', import.meta.url);
const migrationFile = /^(?<name>(?<version>\d{4})_\w+)\.(?<kind>sql|ts)$/;

/** What the files `NNNN_name.ts` export, by version. */
const scripts: ReadonlyMap<number, MigrationScript> = new Map([[6, giveRowsIdentities]]);

/** So often a migrate that waits for another looks whether it has ended. */
const lookMs = 250;

/** The migrations that this program brings along, oldest first. */
function knownMigrations(): readonly Migration[] {
  return readdirSync(folder)
    .sort()
    .flatMap((file) => {
      const { name, version, kind } = migrationFile.exec(file)?.groups ?? {};
      if (name === undefined) return [];
      const text = readFileSync(new URL(file, folder), 'utf8');
      const script = scripts.get(Number(version));
      if ((kind === 'ts') !== (script !== undefined)) throw new Error(`${file} is in no table of scripts`);
      const checksum = createHash('sha256').update(text).digest('hex');
      return [{ version: Number(version), name, text, checksum, script }];
    });
}

/**
 * Brings the schema up to date, a migration at a time; one that was interrupted is resumed. Safe to run from
 * several places at once: the others wait and find nothing to do. Needs two connections at a time. Makes the role of
 * analysts and its grants whatever the version, for a restore into another server loses both. Throws SchemaError when
 * the database is newer than the program, or the role is missing and this user may not create it.
 */
export async function migrate(db: Database, options: MigrateOptions = {}): Promise<MigrationReport> {
  const known = knownMigrations();
  for (;;) {
    const report = await db.transaction().execute(async (lock) => {
      if (!(await lockMigrations(lock))) return undefined;
      return db.connection().execute((connection) => applyMissing(connection, lock, known, options));
    });
    if (report !== undefined) return report;
    await sleep(lookMs);
  }
}

/**
 * Whether this is the only migrate. The lock belongs to a transaction, because behind a pooler a session has no
 * owner. It is tried and not waited for: a statement that waits has a snapshot, and an index that is built
 * concurrently waits for every older snapshot, so the two would wait for each other. A transaction that is idle
 * between two statements has none.
 */
async function lockMigrations(lock: Transaction<DB>): Promise<boolean> {
  await sql`
    select set_config(name, '0', true) from pg_settings
    where name in ('idle_in_transaction_session_timeout', 'transaction_timeout')
  `.execute(lock);
  const { rows } = await sql<{ locked: boolean }>`
    select pg_try_advisory_xact_lock(hashtext('tim-mirror migrate')) as locked
  `.execute(lock);
  return rows[0]?.locked === true;
}

async function applyMissing(
  connection: Database,
  lock: Transaction<DB>,
  known: readonly Migration[],
  { say = () => undefined, restored = false }: MigrateOptions,
): Promise<MigrationReport> {
  if (!(await hasRecord(connection))) await connection.transaction().execute(createRecord);
  const missing = compare(known, await readApplied(connection));
  // Also with nothing to do: the role belongs to the server, which may be another since.
  if (!(await connection.transaction().execute(ensureReaderRole))) throw new SchemaError(missingRole);
  for (const migration of missing) {
    const { script } = migration;
    if (script !== undefined) await script(connection, (sentence) => say(`${migration.name} ${sentence}`));
    // Throws where the lock was lost with its connection: another migrate may be at work.
    await sql`select 1`.execute(lock);
    await connection.transaction().execute(async (trx) => {
      if (script === undefined) await sql.raw(migration.text).execute(trx);
      await note(trx, migration);
    });
  }
  const jump = (await mayWrite(connection)) ? (await settleIn(connection, { restored })).jump : undefined;
  await connection.transaction().execute(grantToReaders);
  return { applied: missing.map((migration) => migration.name), version: known.at(-1)?.version ?? 0, jump };
}

/** Whether this user may write what is the mirror's; with nothing to do it need not. */
async function mayWrite(db: Kysely<DB>): Promise<boolean> {
  const { rows } = await sql<{ may: boolean }>`
    select has_table_privilege('mirror.installation', 'update') and has_table_privilege('mirror.feed', 'update') as may
  `.execute(db);
  return rows[0]?.may ?? false;
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

async function note(trx: Transaction<DB>, migration: Migration): Promise<void> {
  await sql`
    insert into mirror.migration (version, name, checksum)
    values (${migration.version}, ${migration.name}, ${migration.checksum})
  `.execute(trx);
}
