import pg from 'pg';
import { type LocalPostgres, startPostgres } from '../../dev/local-servers/postgres.ts';

/** A Postgres server of the customer's, beside the one of the tests, with a table `users (id text)`. */
export interface CustomerDatabase extends AsyncDisposable {
  /** For a role that may select from this table, and nothing more. */
  readonly url: string;
  /** For the administrator. */
  readonly adminUrl: string;
  readonly server: LocalPostgres;
  /** Runs a statement there. */
  run(text: string, values?: readonly unknown[]): Promise<pg.QueryResult>;
  /** Has these users and no others. */
  setUsers(...ids: readonly string[]): Promise<void>;
}

const readerPassword = 'reader-hunter22';

/** Starts the server; stopped and deleted when disposed. */
export async function startCustomerDatabase(): Promise<CustomerDatabase> {
  const server = await startPostgres({ durable: false });
  const pool = new pg.Pool({ connectionString: server.url() });
  pool.on('error', () => undefined);
  await pool.query('create table users (id text)');
  await pool.query(
    `create role account_reader login password '${readerPassword}'; grant select on users to account_reader`,
  );
  const run = (text: string, values: readonly unknown[] = []) => pool.query(text, [...values]);
  return {
    url: Object.assign(new URL(server.url()), { username: 'account_reader', password: readerPassword }).href,
    adminUrl: server.url(),
    server,
    run,
    async setUsers(...ids) {
      await run('truncate users');
      await run('insert into users select * from unnest($1::text[])', [ids]);
    },
    async [Symbol.asyncDispose]() {
      await pool.end();
      await server.stop();
    },
  };
}
