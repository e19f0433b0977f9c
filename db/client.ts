import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import type { DB } from './schema.ts';
import { stateSettings } from './session-settings.ts';

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

const { INT8, TIMESTAMPTZ, TIMESTAMP, DATE } = pg.types.builtins;

const parsers: ReadonlyMap<number, (text: string) => unknown> = new Map<number, (text: string) => unknown>([
  // Every bigint we keep is below 2^53: keys, app ids, counts, and sequences, which the wire parser bounds.
  [INT8, Number],
  ...[TIMESTAMPTZ, TIMESTAMP, DATE].map((oid) => [oid, strictTimeParser(oid)] as const),
]);

const types: pg.CustomTypesConfig = {
  getTypeParser: (oid, format) =>
    (format === 'binary' ? undefined : parsers.get(oid)) ?? pg.types.getTypeParser(oid, format),
};

/**
 * The driver reads a time of another style than ISO as null, and null may mean "removals are not held". So that is an
 * error, should the settings of a session ever be others than those stated.
 */
function strictTimeParser(oid: number): (text: string) => unknown {
  const parse: (text: string) => unknown = pg.types.getTypeParser(oid, 'text');
  return (text) => {
    if (!/^(\d{4,}-\d\d-\d\d|-?infinity$)/.test(text))
      throw new Error(
        'Postgres wrote a time in another style than ISO: DateStyle of the session must be ISO.',
      );
    return parse(text);
  };
}

/** A connection of a pool, from its beginning on: it survives breaks, and its settings are those that statements rely on. */
export async function prepareConnection(client: pg.ClientBase): Promise<void> {
  surviveBreaks(client);
  await stateSettings(client);
}

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
    onConnect: prepareConnection,
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
