import { sql } from 'kysely';
import type { Database } from './client.ts';

/** Postgres' time, read off this process' monotonic clock: right even where the machine's own time is wrong. */
export interface DatabaseClock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Compares again; the two clocks drift apart, and after a failover it is another server's. */
  refresh(): Promise<void>;
}

/** A clock that has been compared with Postgres once. */
export async function createDatabaseClock(db: Database): Promise<DatabaseClock> {
  let offset = 0;

  async function refresh(): Promise<void> {
    const asked = performance.now();
    const { rows } = await sql<{ now: number }>`
      select extract(epoch from clock_timestamp())::float8 * 1000 as now
    `.execute(db);
    const answered = performance.now();
    if (rows[0] !== undefined) offset = rows[0].now - (asked + answered) / 2;
  }

  await refresh();
  return { now: () => performance.now() + offset, refresh };
}
