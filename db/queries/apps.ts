import { type Kysely, sql, type Transaction } from 'kysely';
import type { DB } from '../schema.ts';

/** Why the vendor refuses an app as a whole. */
interface Halt {
  readonly since: Date;
  readonly kind: string;
  readonly code: number;
  readonly message: string;
  /** When the next call is made to see whether it is fixed. */
  readonly probeAt: Date;
}

/** Why removals of an app wait for an operator: how many accounts shrank, of how many that were read within which time. */
interface RemovalHold {
  readonly since: Date;
  readonly shrunk: number;
  readonly read: number;
  readonly windowSeconds: number;
}

/** A rate lower than the app's own, and for how many seconds more. */
export interface Slowed {
  readonly callsPerSecond: number;
  readonly secondsLeft: number;
}

/** What every process has to know of an app, read once a second. */
export interface AppRow {
  readonly appId: number;
  readonly callsPerSecond: number;
  readonly minIntervalSeconds: number;
  readonly maxIntervalSeconds: number;
  readonly accountCount: number;
  readonly weightSum: number;
  /** Estimated: changes a day of all accounts together, and those that are not in the tables yet. */
  readonly changesPerDay: number;
  readonly changesMissing: number;
  readonly countedAt: Date | undefined;
  readonly halt: Halt | undefined;
  readonly hold: RemovalHold | undefined;
  /** Set while the vendor’s alert makes every process send less. */
  readonly slowed: Slowed | undefined;
  /** Seconds since content was last seen to change under an equal sequence; undefined when it never was. */
  readonly silentChangeAgo: number | undefined;
  /** Seconds since any process last dispatched for the app; undefined when none ever did. */
  readonly dispatchedAgo: number | undefined;
}

/** Makes the app's row where it is missing, and keeps its budget up to date. */
export async function ensureApp(
  db: Kysely<DB>,
  app: { appId: number; callsPerSecond: number },
): Promise<void> {
  await sql`
    insert into mirror.app (app_id, calls_per_second) values (${app.appId}, ${app.callsPerSecond})
    on conflict (app_id) do update set calls_per_second = excluded.calls_per_second
    where mirror.app.calls_per_second <> excluded.calls_per_second
  `.execute(db);
}

/** Stores between which intervals the daemon polls, for `status`. */
export async function storeIntervals(
  db: Kysely<DB>,
  appId: number,
  interval: { readonly minSeconds: number; readonly maxSeconds: number },
): Promise<void> {
  await sql`
    update mirror.app set min_interval_seconds = ${interval.minSeconds}, max_interval_seconds = ${interval.maxSeconds}
    where app_id = ${appId}
  `.execute(db);
}

function present(time: Date | null): Date {
  if (time === null) throw new Error('Postgres says that a time is set, and the driver gives none');
  return time;
}

/** Every app in the database, by id. */
export async function readApps(db: Kysely<DB>): Promise<readonly AppRow[]> {
  const rows = await db
    .selectFrom('mirror.app')
    .selectAll()
    .select([
      // Whether anything is held or halted is asked of Postgres, not read off a time that came through a driver.
      sql<boolean>`halted_at is not null`.as('halted'),
      sql<boolean>`removals_held_at is not null`.as('removals_held'),
      sql<number | null>`extract(epoch from clock_timestamp() - dispatched_at)::float8`.as('dispatched_ago'),
      sql<number | null>`extract(epoch from slowed_until - clock_timestamp())::float8`.as('slowed_for'),
      sql<number | null>`(
        select extract(epoch from clock_timestamp() - last_seen_at)::float8 from mirror.sequence_evidence evidence
        where evidence.app_id = app.app_id and observation = 'silent_change'
      )`.as('silent_change_ago'),
    ])
    .orderBy('app_id')
    .execute();
  return rows.map((row) => ({
    appId: row.app_id,
    callsPerSecond: row.calls_per_second,
    minIntervalSeconds: row.min_interval_seconds,
    maxIntervalSeconds: row.max_interval_seconds,
    accountCount: row.account_count,
    weightSum: row.weight_sum,
    changesPerDay: row.changes_per_day,
    changesMissing: row.changes_missing,
    countedAt: row.counted_at ?? undefined,
    halt: row.halted
      ? {
          since: present(row.halted_at),
          kind: row.halt_kind ?? '',
          code: row.halt_code ?? 0,
          message: row.halt_message ?? '',
          probeAt: row.probe_at ?? present(row.halted_at),
        }
      : undefined,
    hold: row.removals_held
      ? {
          since: present(row.removals_held_at),
          shrunk: row.removals_shrunk ?? 0,
          read: row.removals_read ?? 0,
          windowSeconds: row.removals_window_seconds ?? 600,
        }
      : undefined,
    slowed:
      row.slowed_to === null || (row.slowed_for ?? 0) <= 0
        ? undefined
        : { callsPerSecond: row.slowed_to, secondsLeft: row.slowed_for ?? 0 },
    silentChangeAgo: row.silent_change_ago ?? undefined,
    dispatchedAgo: row.dispatched_ago ?? undefined,
  }));
}

/** Halts an app, or puts down the newest refusal of one that is halted. True when it was not halted before. */
export async function haltApp(
  db: Kysely<DB>,
  halt: {
    readonly appId: number;
    readonly kind: string;
    readonly code: number;
    readonly message: string;
    /** No probe before this has passed. */
    readonly pauseMs: number;
  },
): Promise<boolean> {
  const { rows } = await sql<{ fresh: boolean }>`
    update mirror.app set
      halted_at = coalesce(before.halted_at, clock_timestamp()),
      halt_kind = ${halt.kind},
      halt_code = ${halt.code},
      halt_message = ${halt.message},
      probe_at = greatest(app.probe_at, clock_timestamp() + ${halt.pauseMs} * interval '1 millisecond')
    from (select app_id, halted_at from mirror.app where app_id = ${halt.appId} for update) before
    where app.app_id = before.app_id
    returning before.halted_at is null as fresh
  `.execute(db);
  return rows[0]?.fresh ?? false;
}

/** Lets a halted app go on. True when it was halted. */
export async function resumeApp(db: Kysely<DB>, appId: number): Promise<boolean> {
  const result = await db
    .updateTable('mirror.app')
    .set({
      halted_at: null,
      halt_kind: null,
      halt_code: null,
      halt_message: null,
      probe_at: null,
      probe_count: 0,
    })
    .where('app_id', '=', appId)
    .where('halted_at', 'is not', null)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** Lets a halted app be probed at once: the daemon has just been started, perhaps with better credentials. */
export async function probeNow(db: Kysely<DB>, appId: number): Promise<void> {
  await sql`
    update mirror.app set probe_at = clock_timestamp(), probe_count = 0
    where app_id = ${appId} and halted_at is not null
  `.execute(db);
}

/** Takes the turn to probe a halted app, which comes 5 s, 10 s, … and at last every minute. True for one caller. */
export async function takeProbe(trx: Transaction<DB>, appId: number): Promise<boolean> {
  const result = await sql`
    update mirror.app set
      probe_count = probe_count + 1,
      probe_at = clock_timestamp() + least(5 * power(2, least(probe_count, 10)), 60) * interval '1 second'
    where app_id = ${appId} and halted_at is not null and probe_at <= clock_timestamp()
  `.execute(trx);
  return (result.numAffectedRows ?? 0n) > 0n;
}

interface AppClock {
  readonly virtualClock: number;
  readonly ceiling: number;
  /** Seconds since the clock was last moved, by Postgres' time. */
  readonly elapsed: number;
  readonly halted: boolean;
}

/** Locks the app's clock, so that claims of one app follow each other, and notes that a dispatch takes place. */
export async function lockClock(trx: Transaction<DB>, appId: number): Promise<AppClock | undefined> {
  const { rows } = await sql<AppClock>`
    update mirror.app set dispatched_at = clock_timestamp() where app_id = ${appId}
    returning
      virtual_clock as "virtualClock",
      claim_ceiling as ceiling,
      extract(epoch from clock_timestamp() - clock_moved_at)::float8 as elapsed,
      halted_at is not null as halted
  `.execute(trx);
  return rows[0];
}

/** Stores the clock after a claim. */
export async function storeClock(
  trx: Transaction<DB>,
  appId: number,
  clock: { readonly now: number; readonly ceiling: number },
): Promise<void> {
  await sql`
    update mirror.app
    set virtual_clock = ${clock.now}, claim_ceiling = ${clock.ceiling}, clock_moved_at = clock_timestamp()
    where app_id = ${appId}
  `.execute(trx);
}
