import type { Database } from '../db/client.ts';
import { createDatabaseClock, type DatabaseClock } from '../db/clock.ts';
import type { ProcessLock } from '../db/process-lock.ts';
import { addActivity } from '../db/queries/activity.ts';
import { readApps } from '../db/queries/apps.ts';
import { nameProblem } from '../db/queries/daemons.ts';
import { addLearning } from '../db/queries/learning.ts';
import { addEvidence } from '../db/queries/sequence-evidence.ts';
import { type AppRunner, createAppRunner } from '../src/app/app-runner.ts';
import { type Build, readBuild } from '../src/build.ts';
import { type Cache, createCache } from '../src/cache.ts';
import type { CallingAppConfig } from '../src/config/app-config.ts';
import type { Config } from '../src/config/config.ts';
import { createHints } from '../src/hints/hints.ts';
import { type HttpServer, startHttpServer } from '../src/http/server.ts';
import { createStop, type Stop, within } from '../src/lifecycle.ts';
import { createLocalSlots } from '../src/limiter/local-slots.ts';
import { createRedisSlots } from '../src/limiter/redis-slots.ts';
import type { SlotSource } from '../src/limiter/slots.ts';
import type { TokenBucket } from '../src/limiter/token-bucket.ts';
import type { Logger } from '../src/log.ts';
import { createMetrics, type Metrics } from '../src/metrics/create-metrics.ts';
import { exposeDatabase } from '../src/metrics/database-gauges.ts';
import { exposeProcess } from '../src/metrics/process-gauges.ts';
import { connectRedis, isReady, type RedisConnections } from '../src/redis/redis-connections.ts';
import type { Scrubber } from '../src/scrubber.ts';
import { StartError } from '../src/start-error.ts';
import { createFirstReadLog, firstReadMs } from '../src/status/first-read-log.ts';
import { readStats } from '../src/status/read-stats.ts';
import { readStatus } from '../src/status/read-status.ts';
import { createResponseMemory, type ResponseMemory } from '../src/tencent/response-memory.ts';
import { hasSource, startAccountsWorker } from './accounts-worker.ts';
import {
  closeMs,
  type Databases,
  directUrlOf,
  followSecrets,
  type Keep,
  keepIn,
  openDatabases,
} from './connections.ts';
import { startDispatchWorker } from './dispatch-worker.ts';
import { createHealth, type Health } from './health.ts';
import { createIdentityWatch, type IdentityWatch, identityMs } from './identity-watch.ts';
import { createLoops, type Loops } from './loops.ts';
import { startMaintenanceWorker } from './maintenance-worker.ts';
import { startPollWorker } from './poll-worker.ts';
import { prepareDatabase, takeDaemonLock } from './prepare-database.ts';
import { addQueueBoard } from './queue-board.ts';
import {
  assertPostgresQueues,
  createPostgresQueues,
  createRedisQueues,
  type JobWorker,
  type Queues,
  type QueuesOptions,
} from './queues.ts';
import { keepSchedules, openSchedules, scheduleMs } from './schedules.ts';
import { describeConfig, warnAtStart, warnOfSourceRisks } from './start-warnings.ts';

/** What a process does: claim accounts, poll them, or both. */
export type Role = 'all' | 'dispatch' | 'poll';

export interface DaemonOptions {
  readonly config: Config;
  readonly roles: readonly Role[];
  /** What the daemon says of itself; without it, the version alone. */
  readonly build?: Build;
  readonly log: Logger;
  readonly scrubber: Scrubber;
  /** After this a removal that takes too much is read again. */
  readonly confirmRemovalAfterMs?: number;
  /** How long a stop waits for calls under way. */
  readonly graceMs?: number;
  /** For benches, which lift the limit: what gives the calls of an app their moments instead. */
  readonly openBucket?: () => TokenBucket;
}

export interface Daemon {
  readonly http: HttpServer;
  /** Takes on nothing new, finishes what is under way within the grace, gives leases back. */
  stop(): Promise<void>;
  /** Ends what is under way at once. */
  abort(): void;
  /** Resolves when the daemon has stopped, with why it could not go on. */
  readonly stopped: Promise<StartError | undefined>;
}

const defaultConfirmMs = 60_000;
const defaultGraceMs = 15_000;
const refreshMs = 1000;
const countsMs = 5000;
const clockMs = 30_000;
const healthMs = 5000;
/** Stats of the whole mirror are at most this old. */
const figuresMs = 15_000;
/** However many pages are open, the status is read at most once per this many milliseconds. */
const statusMs = 1000;
/** A loop is stuck when it has not come round for this long; a slow database alone must not restart us. */
const stuckSeconds = 120;

/** What a running daemon is made of. */
interface Parts {
  readonly options: DaemonOptions;
  readonly stop: Stop;
  readonly databases: Databases;
  readonly backends: Backends;
  readonly clock: DatabaseClock;
  readonly health: Health;
  readonly queues: Queues;
  readonly runners: readonly AppRunner[];
}

/** What makes this daemon the one of its installation: Postgres' lock, Redis, and the identity on both. */
interface Backends {
  readonly installationId: string;
  readonly lock: ProcessLock;
  readonly redis: RedisConnections | undefined;
  readonly identity: IdentityWatch | undefined;
  /** Resolves when another daemon has taken the place of this one. */
  readonly taken: PromiseWithResolvers<StartError>;
}

/** What is read of the whole mirror, for all who ask. */
interface Reports {
  readonly figures: Cache<Awaited<ReturnType<typeof readStats>>>;
  readonly status: Cache<Awaited<ReturnType<typeof readStatus>>>;
}

/** Starts the daemon. Throws StartError, with one sentence, when it can't run. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { log, scrubber } = options;
  const stop = createStop();
  const opened = new AsyncDisposableStack();
  followSecrets(log, scrubber);
  try {
    return await startParts(options, stop, opened);
  } catch (error) {
    stop.abortHard();
    await opened.disposeAsync();
    throw error;
  }
}

async function startParts(options: DaemonOptions, stop: Stop, opened: AsyncDisposableStack): Promise<Daemon> {
  const { config, log } = options;
  const keep = keepIn(opened, log);
  const apps = callingApps(config);
  let watch: Health | undefined;
  const databases = openDatabases(config, keep, log, (error) => watch?.failed(error));
  const backends = await openBackends(config, apps, databases, keep, log);
  const metrics = createMetrics();
  const health = createHealth(databases.asked, backends.redis, log);
  watch = health;
  const queues = openQueues(config, backends, {
    installationId: backends.installationId,
    onForeignJob(kind, appId) {
      metrics.jobRefused(kind);
      runners.find((runner) => runner.appId === appId)?.count('foreign_job', 1);
      log.debug({ queue: kind, app: appId }, 'job of another installation refused');
    },
    onJobFailed: health.failed,
    log,
  });
  keep(() => queues.close());
  const clock = await createDatabaseClock(databases.db);
  const answers = createResponseMemory();
  const runners = openRunners({ options, stop, databases, backends, clock, metrics, answers });
  keep(async () => void (await Promise.all(runners.map((runner) => runner.close()))));
  await refreshRunners(databases.db, runners);

  const parts: Parts = { options, stop, databases, backends, clock, health, queues, runners };
  const reports = {
    figures: createCache({ keepMs: figuresMs, read: () => readStats(databases.db, () => clock.now()) }),
    status: createCache({ keepMs: statusMs, read: () => readStatus(databases.db) }),
  };
  const workers = startWorkers(parts);
  const loops = startLoops(parts, reports);
  expose(parts, metrics, reports, loops, answers);
  const http = await openHttp(parts, metrics, reports, loops, keep);
  const { shutDown, stopped } = createShutDown(parts, workers, loops, opened);
  void backends.taken.promise.then((error) => {
    log.error(error.message);
    return shutDown(error);
  });
  warnAtStart(config, apps, log);
  warnOfSourceRisks(sourcedApps(config), stop.soft, log);
  log.info({ ...buildOf(options), ...describeConfig(config), roles: options.roles }, 'tim-mirror runs');
  return { http, stop: () => shutDown(), abort: () => stop.abortHard(), stopped };
}

const buildOf = ({ build }: DaemonOptions) => build ?? readBuild({});

async function openBackends(
  config: Config,
  apps: readonly CallingAppConfig[],
  { db, upkeep }: Databases,
  keep: Keep,
  log: Logger,
): Promise<Backends> {
  const installationId = await prepareDatabase(upkeep, config.databaseUrl ?? '', apps, config.poll, log);
  const taken = Promise.withResolvers<StartError>();
  const lock = await takeDaemonLock(config, taken.resolve);
  keep(() => lock.release());
  if (config.redis === undefined) {
    await assertPostgresQueues(directUrlOf(config));
    return { installationId, lock, redis: undefined, identity: undefined, taken };
  }
  const appIds = apps.map(({ appId }) => appId);
  const redis = await connectRedis(config.redis, appIds, log);
  keep(() => redis.close());
  const identity = createIdentityWatch({ db, redis: redis.clients().bucket, installationId });
  await identity.lookTwice();
  return { installationId, lock, redis, identity, taken };
}

function openQueues(config: Config, { redis }: Backends, options: QueuesOptions): Queues {
  if (redis !== undefined) return createRedisQueues(redis, options);
  const connections = 2 * callingApps(config).length + sourcedApps(config).length + 1;
  return createPostgresQueues(directUrlOf(config), connections, options);
}

interface RunnersOptions extends Pick<Parts, 'options' | 'stop' | 'databases' | 'backends' | 'clock'> {
  readonly metrics: Metrics;
  readonly answers: ResponseMemory;
}

function openRunners({ options, stop, databases, backends, clock, metrics, answers }: RunnersOptions) {
  const { config, confirmRemovalAfterMs = defaultConfirmMs, scrubber, log, openBucket } = options;
  const runners: readonly AppRunner[] = callingApps(config).map((app) =>
    createAppRunner({
      app,
      policy: { poll: config.poll, confirmRemovalAfterMs },
      database: { db: databases.db, clock },
      limiter: {
        slots: slotsOf(app, backends.redis, backends.lock),
        openBucket,
        releaseDueSlots: () => releaseDueSlots(runners),
      },
      memory: answers,
      metrics: metrics.forApp(app.appId, app.callsPerSecond),
      stop,
      output: { log, scrubber },
    }),
  );
  return runners;
}

/** Responses that come in bursts keep timers waiting, and a slot that is missed is lost. */
function releaseDueSlots(runners: readonly AppRunner[]): void {
  for (const runner of runners) runner.bucket.releaseDue();
}

function startWorkers({ options, stop, databases, clock, queues, runners }: Parts): readonly JobWorker[] {
  const { config, roles, log } = options;
  const { db, upkeep, direct, pool } = databases;
  const deps = { db, clock, queues, log, waitingForDatabase: () => pool.waitingCount };
  const does = (role: Role) => roles.includes('all') || roles.includes(role);
  const polls = runners.map((runner) => [runner, queues.open('poll', runner.appId)] as const);
  return [
    ...(does('dispatch') ? polls.map(([runner, queue]) => startDispatchWorker(deps, runner, queue)) : []),
    ...(does('poll') ? runners.map((runner) => startPollWorker(deps, runner)) : []),
    startMaintenanceWorker({
      ...deps,
      db: upkeep,
      direct,
      runners,
      historyRetentionMs: config.historyRetentionMs,
    }),
    ...sourcedApps(config).map((app) =>
      startAccountsWorker({ ...deps, ...config.accounts, db: upkeep, signal: stop.soft }, app),
    ),
  ];
}

function startLoops(parts: Parts, reports: Reports): Loops {
  const { options, stop, databases, backends, clock, health, queues, runners } = parts;
  const { config, log } = options;
  const { db } = databases;
  const { lock, redis, identity, taken } = backends;
  const schedules = openSchedules(queues, runners, sourcedApps(config), config.accounts.syncIntervalMs);
  const loops = createLoops({ signal: stop.soft, log, failed: health.failed });
  loops.run('apps', refreshMs, () => refreshRunners(db, runners));
  loops.run('counts', countsMs, async () => {
    await storeCounts(db, runners);
    for (const runner of runners) await runner.watchRemovals();
  });
  loops.run('clock', clockMs, () => clock.refresh());
  loops.run('identity', identityMs, async () => {
    await identity?.look().catch((error: unknown) => {
      if (!(error instanceof StartError)) throw error;
      taken.resolve(error);
    });
  });
  loops.run('health', healthMs, async () => {
    await health.check();
    const problem = health.worst();
    lock.show(
      problem === undefined
        ? ''
        : nameProblem(problem.part, problem.cause, clock.now() - problem.seconds * 1000),
    );
  });
  loops.run('first read', firstReadMs, createFirstReadLog({ ...reports, log }));
  loops.run('schedules', scheduleMs, async () => {
    await keepSchedules(db, schedules, (appId) => redis === undefined || isReady(redis.clients(appId)));
  });
  return loops;
}

function expose(
  { options, databases, health }: Parts,
  metrics: Metrics,
  { figures }: Reports,
  loops: Loops,
  answers: ResponseMemory,
): void {
  exposeDatabase(metrics.registry, figures);
  exposeProcess(metrics.registry, {
    build: buildOf(options),
    loopAges: loops.ages,
    pool: databases.pool,
    answers: answers.stats,
    unreadyFor: health.unreadyFor,
    redisEvicted: health.redisEvicted,
  });
}

async function openHttp(
  { options, databases: { db }, clock, health, queues, runners }: Parts,
  metrics: Metrics,
  reports: Reports,
  loops: Loops,
  keep: Keep,
): Promise<HttpServer> {
  const { config, log, scrubber } = options;
  const hints = createHints({
    db,
    runners,
    discover: config.discoverAccounts,
    discoverPerHour: config.discoverAccountsPerHour,
    releaseDueSlots: () => releaseDueSlots(runners),
    log,
  });
  keep(() => hints.close());
  const http = await startHttpServer({
    listen: { host: config.http.host, port: config.http.port },
    access: { adminToken: config.adminToken, allowedHosts: config.http.allowedHosts },
    hooks: {
      webhookToken: config.webhookToken,
      allowUnsigned: config.allowUnsignedWebhooks,
      now: () => clock.now(),
      hasApp: hints.hasApp,
      take: hints.take,
      onRefused: metrics.callbackRefused,
    },
    output: { log, scrubber },
    stats: { build: buildOf(options), db, ...reports },
    metrics: metrics.registry,
    health: {
      stuck: () => [...loops.ages()].filter(([, age]) => age > stuckSeconds).map(([name]) => name),
      unready: health.unready,
    },
    addQueues: (server, path) => addQueueBoard(server, path, queues.boards()),
  });
  keep(() => http.close());
  return http;
}

/** How the daemon ends, however often it is asked to. */
function createShutDown(
  { options, stop, databases: { db }, backends: { redis }, runners }: Parts,
  workers: readonly JobWorker[],
  loops: Loops,
  opened: AsyncDisposableStack,
) {
  const { log, graceMs = defaultGraceMs } = options;
  const stopped = Promise.withResolvers<StartError | undefined>();
  let stopping: Promise<void> | undefined;

  async function end(why: StartError | undefined): Promise<void> {
    log.info('stopping');
    stop.abortSoft();
    const closed = Promise.all(workers.map((worker) => worker.close()));
    // Without Redis no worker can close its books; then what counts is that no call is under way.
    const away = redis !== undefined && !runners.every(({ appId }) => isReady(redis.clients(appId)));
    const drained = () => Promise.all(runners.map((runner) => runner.drained()));
    const idle = away ? drained() : closed.then(drained);
    if (!(await within(graceMs, idle))) {
      log.warn('calls under way are cancelled');
      stop.abortHard();
      await within(closeMs, idle);
    }
    await within(closeMs, loops.ended());
    await storeCounts(db, runners).catch((error: unknown) =>
      log.warn({ err: error }, 'last counts not stored'),
    );
    await opened.disposeAsync();
    log.info('stopped');
    stopped.resolve(why);
  }

  return {
    shutDown(why?: StartError): Promise<void> {
      stopping ??= end(why);
      return stopping;
    },
    stopped: stopped.promise,
  };
}

/** The apps that this daemon polls. */
function callingApps(config: Config): readonly CallingAppConfig[] {
  return config.apps.filter((app): app is CallingAppConfig => app.secretKey !== undefined);
}

/** Those whose accounts come from a source. */
function sourcedApps(config: Config) {
  return callingApps(config).filter(hasSource);
}

function slotsOf(app: CallingAppConfig, redis: RedisConnections | undefined, lock: ProcessLock): SlotSource {
  return redis === undefined
    ? createLocalSlots({ callsPerSecond: app.callsPerSecond, isExclusive: () => lock.isHeld() })
    : createRedisSlots({
        redis: redis.clients(app.appId).bucket,
        appId: app.appId,
        callsPerSecond: app.callsPerSecond,
      });
}

async function refreshRunners(db: Database, runners: readonly AppRunner[]): Promise<void> {
  const askedAt = performance.now();
  const rows = new Map((await readApps(db)).map((row) => [row.appId, row]));
  for (const runner of runners) {
    const row = rows.get(runner.appId);
    if (row !== undefined) runner.refresh(row, askedAt);
  }
}

async function storeCounts(db: Database, runners: readonly AppRunner[]): Promise<void> {
  const counts = runners.map((runner) => runner.takeCounts());
  await addActivity(
    db,
    counts.flatMap(({ activity }) => activity),
  );
  await addEvidence(
    db,
    counts.flatMap(({ evidence }) => evidence),
  );
  await addLearning(
    db,
    counts.flatMap(({ learning }) => learning),
  );
}
