import { type Kysely, sql } from 'kysely';
import { lockName, lockSession } from '../process-lock.ts';
import type { DB } from '../schema.ts';

/** A daemon that is connected to this database now. */
export interface DaemonSession {
  /** False while it prepares the database, before it has the lock of daemons. */
  readonly started: boolean;
  /** Since when; undefined where this role may not see the sessions of others. */
  readonly since: Date | undefined;
  /** A required part that is unavailable, as the daemon shows it beside its lock. */
  readonly waitsFor: { readonly part: string; readonly cause: string; readonly since: Date } | undefined;
}

/** Name of the daemon's sessions for what takes long, which it begins with. */
export const upkeepSession = 'tim-mirror upkeep';

/**
 * The daemons that live: each holds a lock as long as it does, and the server gives the lock back within a minute of its
 * death. One that has not come so far is known by the name of its sessions.
 */
export async function readDaemons(db: Kysely<DB>): Promise<readonly DaemonSession[]> {
  const { rows } = await sql<{ name: string | null; since: Date | null; started: boolean }>`
    with here as (select oid from pg_database where datname = current_database()),
    locked as (
      select pid from pg_locks
      where locktype = 'advisory' and granted and objsubid = 1
        and database = (select oid from here)
        and (classid::bigint << 32) | objid::bigint = hashtext(${lockName})::bigint
    )
    select application_name as name, backend_start as since, locked.pid is not null as started
    from pg_stat_activity activity left join locked on locked.pid = activity.pid
    where locked.pid is not null
      or datid = (select oid from here) and application_name = ${upkeepSession}
        and not exists (select from locked)
    order by backend_start
  `.execute(db);
  const started = rows.filter((row) => row.started);
  return (started.length > 0 ? started : rows.slice(0, 1)).map((row) => ({
    started: row.started,
    since: row.since ?? undefined,
    waitsFor: waitsForOf(row.name ?? ''),
  }));
}

/** The words for `ProcessLock.show`: a part, why it is unavailable, and since when, in milliseconds. */
export function nameProblem(part: string, cause: string, sinceMs: number): string {
  return `${part} ${cause} ${Math.floor(sinceMs / 1000)}`;
}

function waitsForOf(name: string): DaemonSession['waitsFor'] {
  const [, part, cause, since] = /^ (\w+) (\w+) (\d{1,12})$/.exec(name.slice(lockSession.length)) ?? [];
  if (part === undefined || cause === undefined) return undefined;
  return { part, cause, since: new Date(Number(since) * 1000) };
}
