import type pg from 'pg';
import { connectionOptions } from './client.ts';
import { FreshClient } from './fresh-client.ts';
import { stateSettings } from './session-settings.ts';
import { keepAsking, type Moment, msSince, thisMoment, watchSession } from './watched-session.ts';

/** Held by a daemon as long as it lives, so that a daemon without Redis can be sure to be the only one. */
export interface ProcessLock {
  /**
   * False while the connection that holds the lock is broken, and while it has not answered a beat for 20 s, after which the
   * server may soon give the lock to another daemon: a process that was stopped, or a machine that was suspended, finds it so.
   */
  isHeld(): boolean;
  /** Shows beside the lock, for `status`, what the daemon waits for: short words, or none. */
  show(words: string): void;
  release(): Promise<void>;
}

interface ProcessLockOptions {
  readonly url: string;
  /** A daemon without Redis wants to be alone; those with Redis share, but not with one without. */
  readonly mode: 'exclusive' | 'shared';
  /** The lock was lost, and when the connection was back another daemon had it. */
  readonly onTaken: () => void;
  readonly now?: () => Moment;
}

/** What Postgres takes the hash of. */
export const lockName = 'tim-mirror daemon';
/** Name of the session that holds the lock; what the daemon waits for follows it. */
export const lockSession = 'tim-mirror lock';
const retryMs = 500;
const silentMs = 10_000;
const heartbeatMs = 5000;
/** Longer than the heartbeat by far: a session whose process has vanished gives the lock back after this long. */
const forsakenMs = 60_000;
/** How long after a beat the lock is certainly ours. A second daemon can have it at the earliest after `forsakenMs`. */
const assuredMs = 20_000;

/** A session as the server knows it: process ids come again, with another start. */
interface Backend {
  readonly pid: number;
  readonly startedAt: string;
}

/** Takes the lock; undefined when another daemon that excludes this one holds it. */
export async function acquireProcessLock(options: ProcessLockOptions): Promise<ProcessLock | undefined> {
  const { now = thisMoment } = options;
  let holder: pg.Client | undefined;
  let former: Backend | undefined;
  let heard = now();
  let released = false;
  let shown = '';
  let retry: NodeJS.Timeout | undefined;

  async function take(): Promise<boolean> {
    const client = openClient(options.url);
    const lost = () => {
      if (holder !== client || released) return;
      holder = undefined;
      retry = setTimeout(regain, retryMs);
    };
    client.on('error', lost);
    client.on('end', lost);
    const asked = now();
    try {
      await client.connect();
      watchSession(client, { silentMs });
      await stateSettings(client, { idle_session_timeout: String(forsakenMs) });
      if (former !== undefined) await endSession(client, former);
      former = await tryLock(client, options.mode);
    } catch (error) {
      void client.end();
      throw error;
    }
    if (former === undefined) {
      await client.end();
      return false;
    }
    heard = asked;
    keepAsking(client, {
      everyMs: heartbeatMs,
      now,
      silentMs,
      onBeat(sent) {
        if (holder === client) heard = sent;
      },
    });
    holder = client;
    if (shown !== '') nameSession(client, shown);
    return true;
  }

  async function regain(): Promise<void> {
    if (released) return;
    try {
      if (!(await take())) options.onTaken();
    } catch {
      retry = setTimeout(regain, retryMs);
    }
  }

  if (!(await take())) return undefined;
  return {
    isHeld: () => holder !== undefined && msSince(heard, now()) < assuredMs,
    show(words) {
      if (words === shown) return;
      shown = words;
      if (holder !== undefined) nameSession(holder, words);
    },
    async release() {
      released = true;
      clearTimeout(retry);
      await holder?.end();
    },
  };
}

function openClient(url: string): pg.Client {
  return new FreshClient({
    ...connectionOptions,
    connectionString: url,
    application_name: lockSession,
  });
}

/** The name goes with the session, so a daemon that has died says nothing. A session that breaks is named again. */
function nameSession(client: pg.Client, words: string): void {
  client
    .query("select set_config('application_name', $1, false)", [`${lockSession} ${words}`.trimEnd()])
    .catch(() => undefined);
}

/** The session that has the lock now; undefined when another keeps it out. */
async function tryLock(client: pg.Client, mode: ProcessLockOptions['mode']): Promise<Backend | undefined> {
  const call = mode === 'exclusive' ? 'pg_try_advisory_lock' : 'pg_try_advisory_lock_shared';
  const { rows } = await client.query<Backend & { taken: boolean }>(
    `select ${call}(hashtext($1)) as taken, pid, backend_start::text as "startedAt"
    from pg_stat_activity where pid = pg_backend_pid()`,
    [lockName],
  );
  const [row] = rows;
  return row?.taken === true ? { pid: row.pid, startedAt: row.startedAt } : undefined;
}

/**
 * Ends the session that held the lock. It fell silent for us; where the server has not noticed, it holds the lock yet,
 * and would be taken for another daemon.
 */
async function endSession(client: pg.Client, { pid, startedAt }: Backend): Promise<void> {
  await client.query(
    `select pg_terminate_backend(pid, ${silentMs / 2}) from pg_stat_activity
    where pid = $1 and backend_start = $2::timestamptz`,
    [pid, startedAt],
  );
}
