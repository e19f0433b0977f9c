import type pg from 'pg';
import { connect, createPool, type Database, openDatabase } from '../db/client.ts';
import { takeLoginsFrom } from '../db/fresh-client.ts';
import { upkeepSession } from '../db/queries/daemons.ts';
import { pollLimits, upkeepLimits } from '../db/session-limits.ts';
import type { Config } from '../src/config/config.ts';
import { freshFiles } from '../src/config/fresh-files.ts';
import { passwordsIn } from '../src/config/url-passwords.ts';
import { within } from '../src/lifecycle.ts';
import type { Logger } from '../src/log.ts';
import type { Scrubber } from '../src/scrubber.ts';

/** The connections of a daemon to Postgres, by what they are for. */
export interface Databases {
  /** The pool under `db`. */
  readonly pool: pg.Pool;
  /** For polls, and all that is quick. */
  readonly db: Database;
  /** For what reads whole tables, which takes longer than a poll's statements may. */
  readonly upkeep: Database;
  /** Checks the health of Postgres, delayed neither by polls nor by long statements. */
  readonly asked: Database;
  /** Past a pooler: for what needs a session of its own. */
  readonly direct: Database;
}

/** Notes what is to be closed when the daemon ends, in the opposite order. */
export type Keep = (close: () => Promise<void> | void) => void;

/** A server that is away must not keep the process alive for longer. */
export const closeMs = 3000;

/** Closes what is kept when `opened` is disposed of, each within three seconds. */
export function keepIn(opened: AsyncDisposableStack, log: Logger): Keep {
  return (close) =>
    opened.defer(async () => {
      const closing = Promise.resolve(close()).catch((error: unknown) =>
        log.debug({ err: error }, 'not closed cleanly'),
      );
      await within(closeMs, closing);
    });
}

/** The URL of Postgres itself, past the pooler where there is one. */
export function directUrlOf({ databaseDirectUrl, databaseUrl = '' }: Config): string {
  return databaseDirectUrl ?? databaseUrl;
}

/** Opens the connections of a daemon. `onFailure` receives the error of each statement of a poll that failed. */
export function openDatabases(
  config: Config,
  keep: Keep,
  log: Logger,
  onFailure: (error: unknown) => void,
): Databases {
  const { databaseUrl: url = '' } = config;
  const onIdleError = (error: Error) => log.debug({ err: error }, 'idle connection to postgres lost');
  const pool = createPool({
    url,
    applicationName: 'tim-mirror',
    maxConnections: 12,
    onIdleError,
    limits: pollLimits,
    onFailure,
  });
  const db = openDatabase(pool);
  const slow = { applicationName: upkeepSession, onIdleError, limits: upkeepLimits };
  const upkeep = connect({ ...slow, url, maxConnections: 2 });
  const asked = connect({ ...slow, url, maxConnections: 1, limits: pollLimits });
  const directUrl = directUrlOf(config);
  const direct = directUrl === url ? upkeep : connect({ ...slow, url: directUrl, maxConnections: 1 });
  for (const each of new Set([db, upkeep, asked, direct])) keep(() => each.destroy());
  return { pool, db, upkeep, asked, direct };
}

/** Passwords and keys in files may be replaced while the daemon runs. */
export function followSecrets(log: Logger, scrubber: Scrubber): void {
  takeLoginsFrom(freshFiles.fresh);
  freshFiles.listen({
    onChange(variable, text) {
      scrubber.add(text);
      for (const password of passwordsIn(text)) scrubber.add(password);
      log.info(
        { variable },
        'a secret was replaced in its file: what is opened from now on uses the new one',
      );
    },
    onProblem: (variable, err) =>
      log.warn(
        { variable, err },
        'a file with a secret can’t be read again: the last text that it held is used',
      ),
  });
}
