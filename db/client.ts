import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import type { DB } from './schema.ts';

export type Database = Kysely<DB>;
/** A statement that takes this runs in or out of a transaction; one that takes `Transaction` demands one. */
export type { Transaction } from 'kysely';
export type { DB } from './schema.ts';

export interface ConnectOptions {
  readonly url: string;
  /** Shown in pg_stat_activity. */
  readonly applicationName: string;
  readonly maxConnections?: number;
  /** Told of connections that break while idle; without it such a break would end the process. */
  readonly onIdleError: (error: Error) => void;
}

// Every bigint we keep is below 2^53: keys, app ids, counts, and sequences, which the wire parser bounds.
const int8Oid = 20;
const types: pg.CustomTypesConfig = {
  getTypeParser: (oid, format) =>
    oid === int8Oid && format !== 'binary'
      ? (text: string) => Number(text)
      : pg.types.getTypeParser(oid, format),
};

/**
 * A pool listens to the connections that are idle. One that breaks while a transaction holds it, between two
 * statements, would end the process; the next statement on it fails, and that is told.
 */
export function surviveBreaks(client: pg.ClientBase): void {
  client.on('error', () => undefined);
}

/** Connections to Postgres, made when first needed. */
export function createPool(options: ConnectOptions): pg.Pool {
  const pool = new pg.Pool({
    connectionString: options.url,
    application_name: options.applicationName,
    max: options.maxConnections ?? 10,
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
    onConnect: surviveBreaks,
    types,
  });
  pool.on('error', options.onIdleError);
  return pool;
}

/** A pool of connections to Postgres, for statements. */
export function connect(options: ConnectOptions): Database {
  return openDatabase(createPool(options));
}

/** Statements over connections of a pool, which ends with it. */
export function openDatabase(pool: pg.Pool): Database {
  return new Kysely<DB>({ dialect: new PostgresDialect({ pool }) });
}
