import { readFileSync } from 'node:fs';
import { LocalServerError } from './local-server-error.ts';

/** The user a server runs as; undefined where we are not root. */
export interface Runner {
  readonly uid?: number;
  readonly gid?: number;
}

/** Postgres refuses to run as root, as PgBouncer does, so root hands it to a user who may do nothing. */
export function unprivilegedUser(): Runner {
  if (process.getuid?.() !== 0) return {};
  const users = readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const name of ['postgres', 'nobody']) {
    const fields = users.find((line) => line.startsWith(`${name}:`))?.split(':');
    if (fields !== undefined) return { uid: Number(fields[2]), gid: Number(fields[3]) };
  }
  throw new LocalServerError(
    'PostgreSQL does not run as root, and there is no user nobody; run this as another user.',
  );
}
