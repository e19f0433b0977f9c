import { setTimeout as sleep } from 'node:timers/promises';
import type { BaseAdapter } from '@bull-board/api/baseAdapter';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import {
  assertSchemaCompatibility,
  type BackendFactory,
  createPostgresBackend,
  DEFAULT_SCHEMA,
  isPgPool,
  type Job,
  type JobProgress,
  LATEST_SCHEMA_VERSION,
  type PgPool,
  type PostgresConnectionOptions,
  type PostgresQueueBackend,
  Queue,
  runMigrations,
  SchemaMigrationRequiredError,
  SchemaVersionMismatchError,
  Worker,
  type WorkerOptions,
} from 'bullmq';
import pg from 'pg';
import { z } from 'zod';
import { connectionOptions, surviveBreaks } from '../db/client.ts';
import { FreshClient } from '../db/fresh-client.ts';
import { migrationLimits, pollLimits, type SessionLimits } from '../db/session-limits.ts';
import { stateSettings } from '../db/session-settings.ts';
import { keepAsking, watchSession } from '../db/watched-session.ts';
import { redisTag } from '../src/config/redis-servers.ts';
import { within } from '../src/lifecycle.ts';
import type { Logger } from '../src/log.ts';
import type { RedisConnections } from '../src/redis/redis-connections.ts';
import { StartError } from '../src/start-error.ts';

/** What the daemon's queues are for. All but maintenance exist once an app, so that no app waits for another. */
type QueueKind = 'dispatch' | 'poll' | 'accounts' | 'maintenance';

const nullableNumber = z.number().nullable();
const nullableText = z.string().nullable();

/** A batch of claimed accounts on its way to a poll worker. */
export const pollBatch = z.object({
  /** Postgres' time in milliseconds; a batch older than its lease is not worth its calls. */
  claimedAt: z.number(),
  probe: z.boolean(),
  accounts: z.array(
    z.object({
      accountKey: z.number(),
      accountId: z.string(),
      claimNo: z.number(),
      status: z.enum(['never_polled', 'active', 'gone', 'quarantined']),
      sequence: nullableNumber,
      weight: z.number(),
      decayedChanges: z.number(),
      groupCount: z.number(),
      failCount: z.number(),
      firstPolledAt: nullableNumber,
      verifiedAt: nullableNumber,
      fullReadAt: nullableNumber,
      changedAt: nullableNumber,
      pendingAt: nullableNumber,
      contentHash: nullableText,
      pendingHash: nullableText,
    }),
  ),
});
export type PollBatch = z.infer<typeof pollBatch>;

/** Where the queues live. The doors to BullMQ: Redis, or its Postgres backend in schema `bullmq`. */
export interface Queues {
  open(kind: QueueKind, appId?: number): JobQueue;
  work(kind: QueueKind, options: WorkOptions): JobWorker;
  /** The queues opened so far, as Bull Board shows them. */
  boards(): readonly BaseAdapter[];
  close(): Promise<void>;
}

export interface JobQueue {
  add(jobs: readonly object[]): Promise<void>;
  /** Jobs that wait and jobs that a worker has begun. */
  countUnfinished(): Promise<number>;
  /**
   * Schedules a job every `everyMs`, with `again` also where a schedule seems to exist; `offsetMs` after the
   * full interval by the clock, or without one from now on.
   */
  schedule(everyMs: number, again: boolean, offsetMs?: number): Promise<void>;
}

export interface JobWorker {
  /** Takes no more jobs; resolves when those begun are done. */
  close(): Promise<void>;
}

export interface WorkOptions {
  readonly appId?: number;
  readonly concurrency: number;
  readonly process: (data: unknown) => Promise<void>;
}

export interface QueuesOptions {
  /** Whose jobs these are: every job carries it, and the job of another installation is refused. */
  readonly installationId: string;
  /** Called for each job that was refused. */
  readonly onForeignJob: (kind: QueueKind, appId: number | undefined) => void;
  /** Takes what a job failed with; whether it has been said already. */
  readonly onJobFailed?: (error: unknown) => boolean;
  readonly log: Logger;
}

/** What every job carries beside what it is for. */
const stamp = z.object({ installation: z.string() });

// A killed worker's batch is taken up by another within lock + interval = 15 s, inside its lease of 25 s.
const workerSettings = {
  lockDuration: 10_000,
  stalledInterval: 5000,
  maxStalledCount: 3,
  removeOnComplete: { count: 20 },
  removeOnFail: { count: 100 },
} as const satisfies Partial<WorkerOptions>;
// The event stream has no consumer; this is what BullMQ itself writes into it.
const queueSettings = { streams: { events: { maxLen: 100 } } } as const;

/** Bull Board knows both backends, but is typed for one: it is asked of the object what it is. */
function boardOf(queue: unknown): BaseAdapter {
  if (!(queue instanceof Queue)) throw new Error('not a queue');
  return new BullMQAdapter(queue, { readOnlyMode: true });
}

/** BullMQ has types of its own for what it needs of a pool. */
function poolOf(pool: unknown): PgPool {
  if (!isPgPool(pool)) throw new Error('not a pool');
  return pool;
}

function queueName(kind: QueueKind, appId: number | undefined): string {
  return appId === undefined ? kind : `${kind}-${appId}`;
}

/** Queues on Redis, shared by all replicas of this installation; others may use the same Redis, for the same app too. */
export function createRedisQueues(redis: RedisConnections, options: QueuesOptions): Queues {
  const prefixOf = (appId: number | undefined) => `${redisTag(appId)}:${options.installationId}`;
  return register(options, {
    open(kind, appId) {
      const queue = new Queue(queueName(kind, appId), {
        connection: redis.clients(appId).queues,
        prefix: prefixOf(appId),
        ...queueSettings,
      });
      return { queue, board: boardOf(queue) };
    },
    work: (kind, { appId, concurrency, process }) =>
      new Worker(queueName(kind, appId), (job: Job<unknown>) => process(job.data), {
        connection: redis.clients(appId).queues,
        prefix: prefixOf(appId),
        concurrency,
        ...workerSettings,
      }),
  });
}

/** Connections for statements about jobs, of all queues together. */
const statementConnections = 6;

/**
 * Queues in the database itself, for one process. All share a few connections, and each worker has one more, on which it
 * counts jobs.
 */
export function createPostgresQueues(databaseUrl: string, workers: number, options: QueuesOptions): Queues {
  const pool = new pg.Pool({
    ...connectionConfig(databaseUrl, pollLimits),
    max: workers + statementConnections,
  });
  // Every queue listens.
  pool.setMaxListeners(0);
  const connection = poolOf(pool);
  const queues = register(options, {
    open(kind, appId) {
      const queue = new Queue<
        unknown,
        unknown,
        string,
        unknown,
        unknown,
        string,
        PostgresQueueBackend,
        PostgresConnectionOptions
      >(queueName(kind, appId), { connection, ...queueSettings }, createPostgresBackend);
      return { queue, board: boardOf(queue) };
    },
    work: (kind, { appId, concurrency, process }) =>
      new Worker<unknown, unknown, string, PostgresQueueBackend, JobProgress, PostgresConnectionOptions>(
        queueName(kind, appId),
        (job) => process(job.data),
        { connection, concurrency, ...workerSettings },
        createPatientBackend,
      ),
  });
  return {
    ...queues,
    async close() {
      await queues.close();
      await pool.end();
    },
  };
}

/** A worker that can't ask for a job asks again after this long. */
const askAgainMs = 1000;

/**
 * The Postgres backend, with a pause after each request for a job that fails. BullMQ's worker makes none, so where
 * requests fail at once, as without the schema, its loop would take a whole core and let no timer and no signal in.
 */
const createPatientBackend: BackendFactory<PostgresQueueBackend, PostgresConnectionOptions> = (...args) => {
  const backend = createPostgresBackend(...args);
  const moveToActive = backend.moveToActive.bind(backend);
  backend.moveToActive = async (...job) => {
    try {
      return await moveToActive(...job);
    } catch (error) {
      await sleep(askAgainMs);
      throw error;
    }
  };
  return backend;
};

/** Throws StartError unless BullMQ's own tables are there and as new as this program. */
export async function assertPostgresQueues(databaseUrl: string): Promise<void> {
  const pool = new pg.Pool({ ...connectionConfig(databaseUrl, pollLimits), max: 1 });
  try {
    if (await areQueuesReady(pool)) return;
  } finally {
    await pool.end();
  }
  throw new StartError(
    'REDIS_URL is not set, and the database lacks the queues that replace Redis, or has older ones; run tim-mirror migrate, or set REDIS_URL.',
  );
}

async function areQueuesReady(pool: pg.Pool): Promise<boolean> {
  try {
    return (await assertSchemaCompatibility(pool, DEFAULT_SCHEMA)) >= LATEST_SCHEMA_VERSION;
  } catch (error) {
    if (error instanceof SchemaVersionMismatchError)
      throw new StartError(
        'The queues in schema bullmq are newer than this tim-mirror knows; start the newer tim-mirror.',
        error,
      );
    if (error instanceof SchemaMigrationRequiredError) return false;
    throw error;
  }
}

/** Brings BullMQ's own tables in schema `bullmq` up to date; a daemon without REDIS_URL has its queues there. */
export async function migratePostgresQueues(databaseUrl: string): Promise<void> {
  const pool = new pg.Pool({ ...connectionConfig(databaseUrl, migrationLimits), max: 1 });
  try {
    // Making them again, though nothing is missing, takes the right to create.
    if (await areQueuesReady(pool)) return;
    const client = await pool.connect();
    try {
      await makeQueues(client);
    } finally {
      client.release();
    }
  } finally {
    await pool.end();
  }
}

/**
 * Makes BullMQ's own tables, or finds that another process has made them meanwhile. A session of a pooler that has seen
 * that the schema is not there, and then waits for the lock of the other, may still believe it in that transaction:
 * Postgres notifies a session of such things when it begins the next one.
 */
export async function makeQueues(client: pg.ClientBase): Promise<void> {
  try {
    await runMigrations(client);
  } catch (error) {
    const { code, constraint } = error as pg.DatabaseError;
    if (code !== '23505' || constraint !== 'pg_namespace_nspname_index') throw error;
    await runMigrations(client);
  }
}

/** A worker's own connection, on which Postgres speaks first, is asked whether it is there. */
const heartbeat = { everyMs: 15_000, silentMs: 15_000 } as const;

function connectionConfig(databaseUrl: string, { silentMs, statementMs }: SessionLimits) {
  return {
    ...connectionOptions,
    Client: FreshClient,
    connectionString: databaseUrl,
    application_name: 'tim-mirror queues',
    // After the URL's own options, which would take the place of options given beside it.
    async onConnect(client: pg.ClientBase) {
      surviveBreaks(client);
      watchSession(client, { silentMs });
      keepAsking(client, heartbeat);
      await stateSettings(client, { search_path: 'bullmq', statement_timeout: String(statementMs) });
    },
  };
}

/** What of BullMQ's classes is used, whichever backend they run on. */
interface AnyQueue extends Pick<Queue, 'name' | 'close' | 'disconnect'> {
  addBulk(jobs: { name: string; data: unknown }[]): Promise<unknown>;
  getJobCountByTypes(...types: ('waiting' | 'prioritized' | 'active')[]): Promise<number>;
  getJobScheduler(id: string): Promise<Scheduler | undefined>;
  removeJobScheduler(id: string): Promise<boolean>;
  upsertJobScheduler(
    id: string,
    repeat: { every: number; offset?: number },
    template: { name: string; data: unknown },
  ): Promise<unknown>;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

interface Scheduler {
  readonly every?: number | undefined;
  readonly template?: { readonly data?: unknown } | undefined;
}

interface AnyWorker extends Pick<Worker, 'name' | 'close' | 'disconnect'> {
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'failed', listener: (job: unknown, error: Error) => void): unknown;
}

const schedulerId = 'tick';
const closeMs = 2000;

function register(
  { installationId, onForeignJob, onJobFailed = () => false, log }: QueuesOptions,
  make: {
    open: (kind: QueueKind, appId: number | undefined) => { queue: AnyQueue; board: BaseAdapter };
    work: (kind: QueueKind, options: WorkOptions) => AnyWorker;
  },
): Queues {
  const opened: (AnyQueue | AnyWorker)[] = [];
  const boards: BaseAdapter[] = [];
  const isOurs = (data: unknown) => stamp.safeParse(data).data?.installation === installationId;
  return {
    open(kind, appId) {
      const { queue, board } = make.open(kind, appId);
      queue.on('error', (error) => log.debug({ err: error, queue: queue.name }, 'queue failing'));
      opened.push(queue);
      boards.push(board);
      return {
        async add(jobs) {
          if (jobs.length > 0) {
            const stamped = jobs.map((data) => ({
              name: kind,
              data: { ...data, installation: installationId },
            }));
            await queue.addBulk(stamped);
          }
        },
        countUnfinished: () => queue.getJobCountByTypes('waiting', 'prioritized', 'active'),
        async schedule(everyMs, again, offsetMs) {
          const found = await queue.getJobScheduler(schedulerId);
          if (found?.every === everyMs && isOurs(found.template?.data) && !again) return;
          if (found !== undefined) await queue.removeJobScheduler(schedulerId);
          const offset = offsetMs === undefined ? {} : { offset: offsetMs };
          const template = { name: kind, data: { installation: installationId } };
          await queue.upsertJobScheduler(schedulerId, { every: everyMs, ...offset }, template);
        },
      };
    },
    work(kind, options) {
      const { appId, process } = options;
      const worker = make.work(kind, {
        ...options,
        // What it names by keys and numbers would be something else here.
        async process(data) {
          if (isOurs(data)) await process(data);
          else onForeignJob(kind, appId);
        },
      });
      worker.on('error', (error) => log.debug({ err: error, queue: worker.name }, 'worker failing'));
      worker.on('failed', (_job, error) =>
        log[onJobFailed(error) ? 'debug' : 'warn']({ err: error, queue: worker.name }, 'job failed'),
      );
      opened.push(worker);
      return { close: () => worker.close() };
    },
    boards: () => boards,
    async close() {
      const closed = Promise.all(opened.map((each) => each.close()));
      // Closing waits for a server that is away; disconnecting does not.
      if (!(await within(closeMs, closed))) await Promise.all(opened.map((each) => each.disconnect()));
    },
  };
}
