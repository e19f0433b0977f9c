import { type Kysely, sql } from 'kysely';
import { SchemaError } from './migrate.ts';
import type { DB } from './schema.ts';

/** The oldest Postgres that has all we use, as `server_version_num` counts. */
const oldest = 150_000;

/** Throws SchemaError, with one sentence, when the server is older than Postgres 15 or the database is not in UTF8. */
export async function assertServerVersion(db: Kysely<DB>): Promise<void> {
  const { rows } = await sql<{ number: number; name: string; encoding: string }>`
    select
      current_setting('server_version_num')::integer as number,
      current_setting('server_version') as name,
      current_setting('server_encoding') as encoding
  `.execute(db);
  const [server] = rows;
  if (server === undefined) return;
  const problem = serverVersionProblem(server.number, server.name) ?? encodingProblem(server.encoding);
  if (problem !== undefined) throw new SchemaError(problem);
}

function encodingProblem(encoding: string): string | undefined {
  return encoding === 'UTF8'
    ? undefined
    : `This database is encoded in ${encoding}, which can’t hold every name of a group; create one with: create database tim encoding 'UTF8' template template0`;
}

/** What is wrong with a server's version, in a sentence; undefined when nothing. */
export function serverVersionProblem(number: number, name: string): string | undefined {
  return number >= oldest
    ? undefined
    : `This Postgres is of version ${name}, and tim-mirror needs 15 or newer; upgrade it, or let DATABASE_URL name another.`;
}
