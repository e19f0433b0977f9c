import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { codeOf } from './storage-errors.ts';

/** What servers said, by place and login: pg_hba.conf may let one user in encrypted and another not. */
const answers = new Map<string, { readonly asked: number; readonly takes: Promise<boolean> }>();

/** A server without TLS may get it by a restart; one that has it is asked again when it refuses. */
const refusalHoldsMs = 60_000;
/** A session that was made to ask is not waited for longer than this when it ends. */
const endMs = 2000;

/** TLS with whoever answers, as libpq's `prefer` has it. */
export const unverifiedTls = { rejectUnauthorized: false } as const;

/**
 * Whether a URL leaves it to the server if the connection is encrypted: libpq's `prefer`, which is meant where nothing
 * is said.
 */
export function prefersTls(url: string): boolean {
  const parameters = new URLSearchParams(url.split('?')[1]);
  const mode = parameters.get('sslmode');
  return mode === null ? ![...parameters.keys()].some((name) => name.startsWith('ssl')) : mode === 'prefer';
}

/**
 * Whether the server encrypts for this login. The first connection of a login finds out, by a session of its own that
 * ends at once; without TLS it ends before it begins. Throws what keeps that session from being made.
 */
export function takesTls(config: pg.ClientConfig): Promise<boolean> {
  const key = placeOf(config);
  const known = answers.get(key);
  if (known !== undefined && performance.now() - known.asked < refusalHoldsMs) return known.takes;
  const takes = ask(config);
  answers.set(key, { asked: performance.now(), takes });
  takes.then(
    (does) => {
      if (does) answers.set(key, { asked: Number.POSITIVE_INFINITY, takes });
    },
    () => answers.delete(key),
  );
  return takes;
}

/** The server is asked again, should this be its refusal of TLS. */
export function noteRefusal(config: pg.ClientConfig, error: unknown): void {
  if (refusesTls(error)) answers.delete(placeOf(config));
}

function placeOf(config: pg.ClientConfig): string {
  const { host, port, user, database } = new pg.Client(config);
  return JSON.stringify([host, port, user, database]);
}

async function ask(config: pg.ClientConfig): Promise<boolean> {
  const client = new pg.Client({ ...config, ssl: unverifiedTls });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return true;
  } catch (error) {
    if (refusesTls(error)) return false;
    throw error;
  } finally {
    await Promise.race([client.end().catch(() => undefined), sleep(endMs, undefined, { ref: false })]);
  }
}

/** The server has no TLS, its handshake fails, or pg_hba.conf lets this login in without it only. */
function refusesTls(error: unknown): boolean {
  const message = error instanceof Error ? error.message : '';
  const code = codeOf(error);
  return (
    /does not support SSL|establishing an SSL connection/.test(message) ||
    /^(EPROTO|ERR_SSL_)/.test(code) ||
    (code === '28000' && message.includes('SSL encryption'))
  );
}
