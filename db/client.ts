import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { FreshClient } from './fresh-client.ts';
import type { DB } from './schema.ts';
import { commandLimits, type SessionLimits } from './session-limits.ts';
import { stateSettings } from './session-settings.ts';
import { codeOf, readOnlyState } from './storage-errors.ts';
import { watchSession } from './watched-session.ts';

export type Database = Kysely<DB>;
/** A statement that takes this runs in or out of a transaction; one that takes `Transaction` demands one. */
export type { Transaction } from 'kysely';
export type { DB } from './schema.ts';

interface ConnectOptions {
  readonly url: string;
  /** Shown in pg_stat_activity. */
  readonly applicationName: string;
  readonly maxConnections?: number;
  /** Called for connections that break while idle; without it such a break would end the process. */
  readonly onIdleError: (error: Error) => void;
  /** Default: those of commands. */
  readonly limits?: SessionLimits;
  /** Receives the error of each statement that failed. */
  readonly onFailure?: (error: unknown) => void;
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

/** A connection from its beginning on: it survives breaks, and has limits and the settings that statements rely on. */
async function prepareConnection(
  client: pg.ClientBase,
  limits: SessionLimits,
  onFailure?: (error: unknown) => void,
): Promise<void> {
  surviveBreaks(client);
  watchSession(client, { silentMs: limits.silentMs, onFailure });
  await stateSettings(client, {
    statement_timeout: String(limits.statementMs),
    idle_in_transaction_session_timeout: String(limits.idleInTransactionMs),
  });
}

/**
 * A pool listens to the connections that are idle. One that breaks while a transaction holds it, between two
 * statements, would end the process; the next statement on it fails, and that is reported.
 */
export function surviveBreaks(client: pg.ClientBase): void {
  client.on('error', () => undefined);
}

/** What every connection to Postgres is made with. TCP asks after 10 s of silence whether the other side is there. */
export const connectionOptions = {
  connectionTimeoutMillis: 10_000,
  keepAlive: true,
  keepAliveInitialDelayMillis: 10_000,
} as const satisfies pg.ClientConfig;

/** Connections to Postgres, made when first needed. */
export function createPool(options: ConnectOptions): pg.Pool {
  const { limits = commandLimits, onFailure } = options;
  const renewal = createRenewal();
  const pool = new pg.Pool({
    ...connectionOptions,
    Client: FreshClient,
    connectionString: options.url,
    application_name: options.applicationName,
    max: options.maxConnections ?? 10,
    onConnect(client) {
      renewal.begin(client);
      return prepareConnection(client, limits, (error) => {
        renewal.failed(error);
        onFailure?.(error);
      });
    },
    types,
  });
  pool.on('error', options.onIdleError);
  pool.on('release', (_error, client) => {
    // The pool drops a connection that is ending.
    if (renewal.isOver(client)) void client.end();
  });
  return pool;
}

/** A server that only reads for good must not cost a connection each statement. */
const renewalMs = 5000;

/**
 * After a fail-over, connections may stay with the server that was the master, which only reads now. Its first refusal
 * of a write ends all connections that are older than five seconds.
 */
function createRenewal() {
  const begun = new WeakMap<pg.ClientBase, number>();
  let endedBefore = Number.NEGATIVE_INFINITY;
  return {
    begin: (client: pg.ClientBase) => void begun.set(client, performance.now()),
    failed(error: unknown) {
      if (codeOf(error) === readOnlyState) endedBefore = performance.now() - renewalMs;
    },
    isOver: (client: pg.ClientBase) => (begun.get(client) ?? 0) < endedBefore,
  };
}

/** A pool of connections to Postgres, for statements. */
export function connect(options: ConnectOptions): Database {
  return openDatabase(createPool(options));
}

/** Statements over connections of a pool, which ends with it. */
export function openDatabase(pool: pg.Pool): Database {
  return new Kysely<DB>({ dialect: new PostgresDialect({ pool }) });
}
