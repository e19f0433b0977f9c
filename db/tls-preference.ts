import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { codeOf } from './storage-errors.ts';

/** What servers said, by place and login: pg_hba.conf may let one user in encrypted and another not. */
const answers = new Map<string, { readonly asked: number; readonly takes: Promise<boolean> }>();

/** A server without TLS may get it by a restart; one that has it is asked again when it refuses. */
const refusalHoldsMs = 60_000;
/** A session that was made to ask is not waited for longer than this when it ends. */
const endMs = 2000;

/** TLS without a check of the certificate, as in libpq's `prefer`. */
export const unverifiedTls = { rejectUnauthorized: false } as const;

/** What a connection that is not made yet will do. The driver decides by these two, when it connects. */
export function encrypt(client: pg.Client, ssl: typeof unverifiedTls | false): void {
  Reflect.set(client, 'ssl', ssl);
  Reflect.set(Reflect.get(client, 'connection') as object, 'ssl', ssl);
}

/**
 * Whether the URL of a client leaves it to the server if the connection is encrypted: libpq's `prefer`, which is also the
 * default. PGSSLMODE is a choice too: the driver reads it, and nothing is left to see of `disable`.
 */
export function prefersTls(client: pg.Client, url: string): boolean {
  const parameters = new URLSearchParams(url.split('?')[1]);
  const mode = parameters.get('sslmode');
  if (mode !== null) return mode === 'prefer';
  return !client.ssl && ![...parameters.keys()].some((name) => name.startsWith('ssl'));
}

/**
 * Whether the server encrypts for this login. The first connection of a login finds out, by a session of its own that
 * ends at once; without TLS it ends before it begins. Throws what keeps that session from being made.
 */
export function takesTls(client: pg.Client, config: pg.ClientConfig): Promise<boolean> {
  const key = placeOf(client);
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

/** The server is asked again after a refusal of TLS, of its lack, or of the login. */
export function noteRefusal(client: pg.Client, error: unknown): void {
  if (refusesTls(error) || isLoginRefused(error)) answers.delete(placeOf(client));
}

function placeOf({ host, port, user, database }: pg.Client): string {
  return JSON.stringify([host, port, user, database]);
}

async function ask(config: pg.ClientConfig): Promise<boolean> {
  const refusal = await tryLogin(config, unverifiedTls);
  if (refusal === undefined) return true;
  if (refusesTls(refusal)) return false;
  // pg_hba.conf may let this login in without TLS only. If not, the first refusal is reported.
  if (isLoginRefused(refusal) && (await tryLogin(config, false)) === undefined) return false;
  throw refusal;
}

/** What keeps a session from being made; undefined when it was made, and has ended. */
async function tryLogin(config: pg.ClientConfig, ssl: typeof unverifiedTls | false): Promise<unknown> {
  const client = new pg.Client(config);
  encrypt(client, ssl);
  client.on('error', () => undefined);
  try {
    await client.connect();
    return undefined;
  } catch (error) {
    return error;
  } finally {
    await Promise.race([client.end().catch(() => undefined), sleep(endMs, undefined, { ref: false })]);
  }
}

/** The server has no TLS, or its handshake fails. */
function refusesTls(error: unknown): boolean {
  const message = error instanceof Error ? error.message : '';
  return (
    /does not support SSL|establishing an SSL connection/.test(message) ||
    /^(EPROTO|ERR_SSL_)/.test(codeOf(error))
  );
}

/** Postgres has answered, and does not let this login in. */
const isLoginRefused = (error: unknown) => error instanceof pg.DatabaseError;
