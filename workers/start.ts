import { connect, createPool, type Database, openDatabase } from '../db/client.ts';
import { createDatabaseClock } from '../db/clock.ts';
import { takeLoginsFrom } from '../db/fresh-client.ts';
import type { ProcessLock } from '../db/process-lock.ts';
import { addActivity } from '../db/queries/activity.ts';
import { readApps } from '../db/queries/apps.ts';
import { nameTrouble, upkeepSession } from '../db/queries/daemons.ts';
import { addLearning } from '../db/queries/learning.ts';
import { addEvidence } from '../db/queries/sequence-evidence.ts';
import { pollLimits, upkeepLimits } from '../db/session-limits.ts';
import { type Build, readBuild } from '../src/build.ts';
import { createCache } from '../src/cache.ts';
import { freshFiles } from '../src/config/fresh-files.ts';
import { passwordsIn } from '../src/config/url-passwords.ts';
import { type CallingAppConfig, type Config, commonSecrets } from '../src/config.ts';
import { isLoopback } from '../src/http/access.ts';
import { type HttpServer, startHttpServer } from '../src/http/server.ts';
import { createStop, repeat, within } from '../src/lifecycle.ts';
import { createLocalSlots } from '../src/limiter/local-slots.ts';
import { createRedisSlots } from '../src/limiter/redis-slots.ts';
import type { SlotSource } from '../src/limiter/slots.ts';
import type { TokenBucket } from '../src/limiter/token-bucket.ts';
import type { Logger } from '../src/log.ts';
import { createMetrics } from '../src/metrics/create-metrics.ts';
import { exposeDatabase } from '../src/metrics/database-gauges.ts';
import { exposeProcess } from '../src/metrics/process-gauges.ts';
import { neededOpenFiles, openFilesLimit } from '../src/open-files.ts';
import type { Scrubber } from '../src/scrubber.ts';
import { readFigures } from '../src/status/read-figures.ts';
import { readStatus } from '../src/status/read-status.ts';
import { createAnswerMemory } from '../src/tencent/answer-memory.ts';
import { hasSource, startAccountsWorker } from './accounts-worker.ts';
import { startDispatchWorker } from './dispatch-worker.ts';
import { createFirstReadLog, firstReadMs } from './first-read-log.ts';
import { createHealth, type Health } from './health.ts';
import { createHints } from './hints.ts';
import { createIdentityWatch, identityMs } from './identity-watch.ts';
import { createLane, type Lane } from './lane.ts';
import { startMaintenanceWorker } from './maintenance-worker.ts';
import { startPollWorker } from './poll-worker.ts';
import { lockOut, prepareDatabase } from './prepare-database.ts';
import { addQueueBoard } from './queue-board.ts';
import {
  assertPostgresQueues,
  createPostgresQueues,
  createRedisQueues,
  type JobQueue,
  type QueueKind,
} from './queues.ts';
import { connectRedis, isReady, type RedisConnections } from './redis.ts';
import { keepSchedules, openSchedules, scheduleMs } from './schedules.ts';
import { StartError } from './start-error.ts';

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
  hurry(): void;
  /** Resolves when the daemon has stopped, with why it could not go on. */
  readonly stopped: Promise<StartError | undefined>;
}

const defaultConfirmMs = 60_000;
const defaultGraceMs = 15_000;
const refreshMs = 1000;
const countsMs = 5000;
const clockMs = 30_000;
const healthMs = 5000;
/** What is told of the whole mirror is at most so old. */
const figuresMs = 15_000;
/** However many pages are open, the status is read at most once per this many milliseconds. */
const statusMs = 1000;
const closeMs = 3000;
/** A loop is stuck when it has not come round for so long; a slow database alone must not restart us. */
const stuckSeconds = 120;

/** Starts the daemon. Throws StartError, with one sentence, when it can't run. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const {
    config,
    log,
    scrubber,
    confirmRemovalAfterMs = defaultConfirmMs,
    graceMs = defaultGraceMs,
    build = readBuild({}),
  } = options;
  const databaseUrl = config.databaseUrl ?? '';
  const directUrl = config.databaseDirectUrl ?? databaseUrl;
  const apps = config.apps.filter(mayCall);
  const sourced = apps.filter(hasSource);
  const stop = createStop();
  const stopped = Promise.withResolvers<StartError | undefined>();
  // What has been opened, to be closed in the opposite order.
  const closers: (() => Promise<void> | void)[] = [];
  const closeAll = async () => {
    for (const close of closers.splice(0).reverse()) {
      const closing = Promise.resolve(close()).catch((error: unknown) =>
        log.debug({ err: error }, 'not closed cleanly'),
      );
      // A server that is away must not keep the process alive.
      await within(closeMs, closing);
    }
  };

  followSecrets(log, scrubber);
  try {
    const onIdleError = (error: Error) => log.debug({ err: error }, 'idle connection to postgres lost');
    const pool = createPool({
      url: databaseUrl,
      applicationName: 'tim-mirror',
      maxConnections: 12,
      onIdleError,
      limits: pollLimits,
      onFailure: (error) => health?.failed(error),
    });
    let health: Health | undefined;
    const db = openDatabase(pool);
    closers.push(() => db.destroy());
    // What reads whole tables takes longer than a poll's statements may.
    const slow = { applicationName: upkeepSession, onIdleError, limits: upkeepLimits };
    const upkeep = connect({ ...slow, url: databaseUrl, maxConnections: 2 });
    closers.push(() => upkeep.destroy());
    // Whether Postgres is well is asked on a connection that neither a crowd of polls nor long statements hold.
    const asked = connect({ ...slow, url: databaseUrl, maxConnections: 1, limits: pollLimits });
    closers.push(() => asked.destroy());
    // Behind a pooler, what needs a session of its own goes past it.
    const direct =
      directUrl === databaseUrl ? upkeep : connect({ ...slow, url: directUrl, maxConnections: 1 });
    closers.push(() => direct.destroy());
    const installationId = await prepareDatabase(upkeep, databaseUrl, apps, config.poll, log);

    const taken = Promise.withResolvers<StartError>();
    const lock = await lockOut(config, taken.resolve);
    closers.push(() => lock.release());
    if (config.redis === undefined) await assertPostgresQueues(directUrl);
    const redis =
      config.redis === undefined
        ? undefined
        : await connectRedis(
            config.redis,
            apps.map(({ appId }) => appId),
            log,
          );
    closers.push(() => redis?.close());
    const identity =
      redis === undefined
        ? undefined
        : createIdentityWatch({ db, redis: redis.lane().bucket, installationId });
    await identity?.lookTwice();
    const metrics = createMetrics();
    const watch = createHealth(asked, redis, log);
    health = watch;
    const queueOptions = {
      installationId,
      onForeignJob(kind: QueueKind, appId: number | undefined) {
        metrics.jobRefused(kind);
        lanes.find((lane) => lane.appId === appId)?.count('foreign_job', 1);
        log.debug({ queue: kind, app: appId }, 'job of another installation refused');
      },
      onJobFailed: watch.failed,
      log,
    };
    const queues =
      redis === undefined
        ? createPostgresQueues(directUrl, 2 * apps.length + sourced.length + 1, queueOptions)
        : createRedisQueues(redis, queueOptions);
    closers.push(() => queues.close());
    const clock = await createDatabaseClock(db);

    // Answers that come in crowds keep timers waiting, and a moment to call that is missed is lost.
    const look = () => {
      for (const lane of lanes) lane.bucket.look();
    };
    const answers = createAnswerMemory();
    const lanes: readonly Lane[] = apps.map((app) =>
      createLane({
        app,
        poll: config.poll,
        confirmRemovalAfterMs,
        db,
        clock,
        slots: slotsOf(app, redis, lock),
        answers,
        metrics: metrics.forApp(app.appId, app.callsPerSecond),
        openBucket: options.openBucket,
        onBusy: look,
        stop,
        scrubber,
        log,
      }),
    );
    closers.push(async () => {
      await Promise.all(lanes.map((lane) => lane.close()));
    });
    await refreshLanes(db, lanes);

    const deps = { db, clock, queues, log, waitingForDatabase: () => pool.waitingCount };
    const does = (role: Role) => options.roles.includes('all') || options.roles.includes(role);
    const polls = new Map<number, JobQueue>(
      lanes.map((lane) => [lane.appId, queues.open('poll', lane.appId)]),
    );
    const pollsOf = (lane: Lane) => polls.get(lane.appId) ?? queues.open('poll', lane.appId);
    const workers = [
      ...(does('dispatch') ? lanes.map((lane) => startDispatchWorker(deps, lane, pollsOf(lane))) : []),
      ...(does('poll') ? lanes.map((lane) => startPollWorker(deps, lane)) : []),
      startMaintenanceWorker({
        ...deps,
        db: upkeep,
        direct,
        lanes,
        historyRetentionMs: config.historyRetentionMs,
      }),
      ...sourced.map((app) =>
        startAccountsWorker({ ...deps, ...config.accounts, db: upkeep, signal: stop.soft }, app),
      ),
    ];
    const schedules = openSchedules(queues, lanes, sourced, config.accounts.syncIntervalMs);

    const figures = createCache({ keepMs: figuresMs, read: () => readFigures(db, () => clock.now()) });
    const status = createCache({ keepMs: statusMs, read: () => readStatus(db) });
    const beats = new Map<string, number>();
    const loop = (name: string, everyMs: number, once: () => Promise<void>) =>
      repeat(
        {
          everyMs,
          signal: stop.soft,
          onFailure: (error) =>
            log[watch.failed(error) ? 'debug' : 'warn'](
              { err: error, loop: name },
              'loop fails; it tries again',
            ),
          onRecovery: () => log.info({ loop: name }, 'loop has recovered'),
        },
        async () => {
          beats.set(name, performance.now());
          await once();
          beats.set(name, performance.now());
        },
      );
    const flush = () => storeCounts(db, lanes);
    const loops = Promise.all([
      loop('apps', refreshMs, () => refreshLanes(db, lanes)),
      loop('counts', countsMs, async () => {
        await flush();
        for (const lane of lanes) await lane.watchRemovals();
      }),
      loop('clock', clockMs, () => clock.refresh()),
      loop('identity', identityMs, async () => {
        await identity?.look().catch((error: unknown) => {
          if (!(error instanceof StartError)) throw error;
          taken.resolve(error);
        });
      }),
      loop('health', healthMs, async () => {
        await watch.look();
        const trouble = watch.troubleOf('redis');
        lock.show(
          trouble === undefined
            ? ''
            : nameTrouble('redis', trouble.cause, clock.now() - trouble.seconds * 1000),
        );
      }),
      loop('first read', firstReadMs, createFirstReadLog({ figures, status, log })),
      loop('schedules', scheduleMs, async () => {
        await keepSchedules(db, schedules, (appId) => redis === undefined || isReady(redis.lane(appId)));
      }),
    ]);

    const loopAges = () => new Map([...beats].map(([name, at]) => [name, (performance.now() - at) / 1000]));
    exposeDatabase(metrics.registry, figures);
    exposeProcess(metrics.registry, {
      build,
      loopAges,
      pool,
      answers: answers.stats,
      unreadyFor: watch.unreadyFor,
      redisEvicted: watch.redisEvicted,
    });
    const hints = createHints({
      db,
      lanes,
      discover: config.discoverAccounts,
      discoverPerHour: config.discoverAccountsPerHour,
      onBusy: look,
      log,
    });
    closers.push(() => hints.close());
    const http = await startHttpServer({
      ...config.http,
      adminToken: config.adminToken,
      hooks: {
        webhookToken: config.webhookToken,
        allowUnsigned: config.allowUnsignedWebhooks,
        now: () => clock.now(),
        hasApp: hints.hasApp,
        take: hints.take,
        onRefused: metrics.callbackRefused,
      },
      log,
      scrubber,
      build,
      db,
      figures,
      status,
      metrics: metrics.registry,
      stuck: () => [...loopAges()].filter(([, age]) => age > stuckSeconds).map(([name]) => name),
      unready: watch.unready,
      addQueues: (server, path) => addQueueBoard(server, path, queues.boards()),
    });
    closers.push(() => http.close());

    let stopping: Promise<void> | undefined;
    function shutDown(why?: StartError): Promise<void> {
      stopping ??= (async () => {
        log.info('stopping');
        stop.abortSoft();
        const closed = Promise.all(workers.map((worker) => worker.close()));
        // Without Redis no worker can close its books; then what counts is that no call is under way.
        const away = redis !== undefined && !lanes.every(({ appId }) => isReady(redis.lane(appId)));
        const drained = () => Promise.all(lanes.map((lane) => lane.drained()));
        const idle = away ? drained() : closed.then(drained);
        if (!(await within(graceMs, idle))) {
          log.warn('calls under way are cancelled');
          stop.abortHard();
          await within(closeMs, idle);
        }
        await within(closeMs, loops);
        await flush().catch((error: unknown) => log.warn({ err: error }, 'last counts not stored'));
        await closeAll();
        log.info('stopped');
        stopped.resolve(why);
      })();
      return stopping;
    }

    void taken.promise.then((error) => {
      log.error(error.message);
      return shutDown(error);
    });
    warnOfCommonSecrets(config, log);
    warnOfPlainHttp(apps, log);
    warnOfFewFiles(log);
    log.info({ ...build, ...describeConfig(config), roles: options.roles }, 'tim-mirror runs');
    return { http, stop: () => shutDown(), hurry: () => stop.abortHard(), stopped: stopped.promise };
  } catch (error) {
    stop.abortHard();
    await closeAll();
    throw error;
  }
}

/** What somebody who reads the log wants to know first; no part of it is secret. */
function describeConfig({ apps, databaseUrl = '', redis, poll }: Config) {
  const database = URL.parse(databaseUrl);
  return {
    apps: apps.map((app) => app.appId),
    callsPerSecond: apps.map((app) => app.callsPerSecond),
    databaseHost: database?.hostname || database?.searchParams.get('host') || 'local socket',
    databaseName: decodeURIComponent(database?.pathname.slice(1) ?? ''),
    redis: redis !== undefined,
    policy: {
      minIntervalSeconds: poll.minIntervalMs / 1000,
      maxIntervalSeconds: poll.maxIntervalMs / 1000,
      fullReadSeconds: poll.fullReadIntervalMs / 1000,
    },
  };
}

function mayCall(app: Config['apps'][number]): app is CallingAppConfig {
  return app.secretKey !== undefined;
}

function slotsOf(app: CallingAppConfig, redis: RedisConnections | undefined, lock: ProcessLock): SlotSource {
  return redis === undefined
    ? createLocalSlots({ callsPerSecond: app.callsPerSecond, isSole: () => lock.isHeld() })
    : createRedisSlots({
        redis: redis.lane(app.appId).bucket,
        appId: app.appId,
        callsPerSecond: app.callsPerSecond,
      });
}

async function refreshLanes(db: Database, lanes: readonly Lane[]): Promise<void> {
  const askedAt = performance.now();
  const rows = new Map((await readApps(db)).map((row) => [row.appId, row]));
  for (const lane of lanes) {
    const row = rows.get(lane.appId);
    if (row !== undefined) lane.refresh(row, askedAt);
  }
}

async function storeCounts(db: Database, lanes: readonly Lane[]): Promise<void> {
  const counts = lanes.map((lane) => lane.takeCounts());
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

function warnOfCommonSecrets(config: Config, log: Logger): void {
  const variables = commonSecrets(config);
  if (variables.length === 0) return;
  log.warn(
    { variables },
    'a secret is short, a number or a plain word: it is easily guessed, and it is kept out of logs and pages only where it is given as a password; use a longer one with letters and digits',
  );
}

/** The UserSig is in the URL: whoever reads it on the way may do with the app what we may. */
function warnOfPlainHttp(apps: readonly CallingAppConfig[], log: Logger): void {
  for (const { appId, origin } of apps) {
    const { protocol, hostname } = new URL(origin);
    if (protocol === 'https:' || isLoopback(hostname.replace(/^\[|\]$/g, ''))) continue;
    log.warn(
      { app: appId, host: hostname },
      'TIM_ENDPOINT is http://: the signature of the app and the friends of its users travel unencrypted; use https://',
    );
  }
}

function warnOfFewFiles(log: Logger): void {
  const limit = openFilesLimit();
  if (limit === undefined || limit >= neededOpenFiles) return;
  log.warn(
    { limit, needed: neededOpenFiles },
    'the process may open too few files: calls fail with EMFILE while the vendor is slow; raise the limit (ulimit -n, LimitNOFILE)',
  );
}

/** Passwords and keys in files may be replaced while the daemon runs. */
function followSecrets(log: Logger, scrubber: Scrubber): void {
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
    onTrouble: (variable, err) =>
      log.warn(
        { variable, err },
        'a file with a secret can’t be read again: the last text that it held is used',
      ),
  });
}
