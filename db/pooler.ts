import type pg from 'pg';
import { connectionOptions } from './client.ts';
import { FreshClient } from './fresh-client.ts';
import { watchSession } from './watched-session.ts';

/** Sessions do not hold here, because a connection pooler hands them round. */
export class PoolerError extends Error {
  override readonly name = 'PoolerError';
}

interface SessionOptions {
  readonly url: string;
  /** Whether the operator says that sessions hold at this URL; then a pooler may be there that keeps them apart. */
  readonly isDirect: boolean;
}

/** How often it is tried to be given a session that is another's. */
const tries = 5;
const silentMs = 10_000;

/**
 * Throws PoolerError where locks and settings of a session would not last: behind a pooler that gives a session's server
 * process to others between two transactions (PgBouncer's transaction mode), or, unless the operator has set DATABASE_DIRECT_URL, behind any.
 */
export async function assertOwnSession({ url, isDirect }: SessionOptions): Promise<void> {
  const [one, other] = [open(url), open(url)];
  try {
    await one.connect();
    if (!(await isPooled(one))) return;
    if (!isDirect)
      throw new PoolerError(
        'A connection pooler answers at DATABASE_URL, where locks are not certain to hold; set DATABASE_DIRECT_URL to Postgres itself (to the same URL, where the pooler works in session mode).',
      );
    await other.connect();
    if (await isShared(one, other))
      throw new PoolerError(
        'A connection pooler in transaction mode answers at DATABASE_DIRECT_URL, and locks do not hold there; let it name Postgres itself.',
      );
  } finally {
    await Promise.all([one.end(), other.end()]).catch(() => undefined);
  }
}

/** A pooler gives its clients a process id of its own, for they cancel statements at the pooler. */
async function isPooled(client: pg.Client): Promise<boolean> {
  const reported: unknown = Reflect.get(client, 'processID');
  return reported !== (await backendOf(client));
}

/**
 * Whether one connection is given the server process of another that is idle. A pooler gives what was used last, so in
 * transaction mode it soon happens.
 */
async function isShared(one: pg.Client, other: pg.Client): Promise<boolean> {
  for (let round = 0; round < tries; round += 1) {
    const before = await backendOf(one);
    if (before === (await backendOf(other))) return true;
    if (before !== (await backendOf(one))) return true;
  }
  return false;
}

async function backendOf(client: pg.Client): Promise<number | undefined> {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  return rows[0]?.pid;
}

function open(url: string): pg.Client {
  const client = new FreshClient({
    ...connectionOptions,
    connectionString: url,
    application_name: 'tim-mirror lock',
  });
  client.on('error', () => undefined);
  watchSession(client, { silentMs });
  return client;
}
