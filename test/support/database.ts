import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';
import { connect, type Database } from '../../db/client.ts';

/** A migrated database of one's own, on the server of the run. */
export interface TestDatabase extends AsyncDisposable {
  readonly url: string;
  readonly db: Database;
}

/**
 * What may be set for a database that is not ours alone. Every test works under it, for our connections
 * state what they rely on.
 */
export const hostileSettings: readonly (readonly [name: string, value: string])[] = [
  ['DateStyle', 'German'],
  ['IntervalStyle', 'sql_standard'],
  ['TimeZone', 'Asia/Shanghai'],
  ['bytea_output', 'escape'],
  ['extra_float_digits', '-15'],
  ['standard_conforming_strings', 'off'],
  ['array_nulls', 'off'],
  ['transform_null_equals', 'on'],
  ['search_path', 'nowhere'],
  ['default_transaction_isolation', 'serializable'],
  ['default_transaction_deferrable', 'on'],
];

export interface TestDatabaseOptions {
  /** Default: true. */
  readonly migrated?: boolean;
  /** Whether the database has settings that no one asked for. Default: true; behind a pooler they can't be overridden. */
  readonly hostile?: boolean;
}

/** Copies the migrated database (about 25 ms); dropped when disposed. */
export async function createTestDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const name = `tim_test_${randomBytes(6).toString('hex')}`;
  const template = options.migrated === false ? 'template0' : inject('templateDatabase');
  await onServer(`create database ${name} template ${template}`);
  const settings = options.hostile === false ? [] : hostileSettings;
  await onServer(
    settings.map(([setting, value]) => `alter database ${name} set ${setting} = '${value}'`).join(';'),
  );
  const url = urlOf(name);
  const db = connect({ url, applicationName: 'tim-mirror test', onIdleError: () => undefined });
  return {
    url,
    db,
    async [Symbol.asyncDispose]() {
      await db.destroy();
      await onServer(`drop database ${name} with (force)`);
    },
  };
}

function urlOf(database: string): string {
  const url = new URL(inject('postgresUrl'));
  url.pathname = `/${database}`;
  return url.href;
}

async function onServer(command: string): Promise<void> {
  const client = new pg.Client({ connectionString: inject('postgresUrl') });
  await client.connect();
  try {
    // Two test files may copy the template at once, which Postgres refuses to one of them.
    for (let attempt = 0; ; attempt += 1) {
      try {
        await client.query(command);
        return;
      } catch (error) {
        const busy = error instanceof pg.DatabaseError && error.code === '55006';
        if (!busy || attempt === 100) throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  } finally {
    await client.end();
  }
}
