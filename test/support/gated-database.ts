import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { createPool, type Database, type DB } from '../../db/client.ts';

/** A statement on its way to Postgres. */
export interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
  readonly client: pg.PoolClient;
  /** Sends it. */
  run(): Promise<pg.QueryResult>;
  /** Sends another one over the same connection, unseen. */
  ask(text: string, values: readonly unknown[]): Promise<pg.QueryResult>;
}

/** Decides what becomes of a statement. */
export type Gate = (statement: Statement) => Promise<pg.QueryResult>;

/** A database whose statements, those that begin and end transactions too, all go through a gate. One connection. */
export function connectGated(url: string, gate: Gate): Database {
  const pool = createPool({
    url,
    applicationName: 'tim-mirror test',
    maxConnections: 1,
    onIdleError: () => undefined,
  });
  pool.on('connect', (client) => {
    const query = pg.Client.prototype.query.bind(client) as (
      text: string,
      values: readonly unknown[],
    ) => Promise<pg.QueryResult>;
    client.query = ((text: string, values: readonly unknown[] = []) =>
      gate({ text, values, client, run: () => query(text, values), ask: query })) as typeof client.query;
  });
  return new Kysely<DB>({ dialect: new PostgresDialect({ pool }) });
}
