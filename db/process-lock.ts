import pg from 'pg';
import { stateSettings } from './session-settings.ts';

/** Held by a daemon as long as it lives, so that a daemon without Redis can be sure to be the only one. */
export interface ProcessLock {
  /** False while the connection that holds the lock is broken. */
  isHeld(): boolean;
  release(): Promise<void>;
}

export interface ProcessLockOptions {
  readonly url: string;
  /** A daemon without Redis wants to be alone; those with Redis share, but not with one without. */
  readonly mode: 'exclusive' | 'shared';
  /** The lock was lost, and when the connection was back another daemon had it. */
  readonly onTaken: () => void;
}

const lockName = 'tim-mirror daemon';
const retryMs = 500;

/** Takes the lock; undefined when another daemon that excludes this one holds it. */
export async function acquireProcessLock(options: ProcessLockOptions): Promise<ProcessLock | undefined> {
  let holder: pg.Client | undefined;
  let released = false;
  let retry: NodeJS.Timeout | undefined;

  async function take(): Promise<boolean> {
    const client = new pg.Client({
      connectionString: options.url,
      application_name: 'tim-mirror lock',
      connectionTimeoutMillis: 10_000,
      keepAlive: true,
    });
    const lost = () => {
      if (holder !== client || released) return;
      holder = undefined;
      retry = setTimeout(regain, retryMs);
    };
    client.on('error', lost);
    client.on('end', lost);
    await client.connect();
    await stateSettings(client);
    const call = options.mode === 'exclusive' ? 'pg_try_advisory_lock' : 'pg_try_advisory_lock_shared';
    const { rows } = await client.query<{ taken: boolean }>(`select ${call}(hashtext($1)) as taken`, [
      lockName,
    ]);
    if (rows[0]?.taken !== true) {
      await client.end();
      return false;
    }
    holder = client;
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
    isHeld: () => holder !== undefined,
    async release() {
      released = true;
      clearTimeout(retry);
      await holder?.end();
    },
  };
}
