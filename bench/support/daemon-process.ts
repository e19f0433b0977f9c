// The daemon in a process of its own, with its statements and Redis commands counted, and the limit lifted on demand.
import { channel } from 'node:diagnostics_channel';
import { Redis } from 'ioredis';
import pg from 'pg';
import { z } from 'zod';
import { parseConfig, secretsOf } from '../../src/config/config.ts';
import { createLogger } from '../../src/log.ts';
import { createScrubber } from '../../src/scrubber.ts';
import { type Daemon, startDaemon } from '../../workers/start.ts';
import { countCalls } from './count-calls.ts';
import { watchDelays } from './delays.ts';
import { createLiftedBucket, type LiftedBucket } from './lifted-bucket.ts';
import { serve } from './serve.ts';

const begin = z.object({
  databaseUrl: z.string(),
  redisUrl: z.string(),
  apps: z.array(
    z.object({
      appId: z.number(),
      secretKey: z.string(),
      origin: z.string(),
      /** More than the vendor allows, where the limit is lifted. */
      callsPerSecond: z.number(),
    }),
  ),
  /** Calls under way at once with the limit lifted; without it the real bucket limits the calls. */
  callsUnderWay: z.number().optional(),
  environment: z.record(z.string(), z.string()),
});
/** Where the daemon of a bench finds everything. */
export type DaemonOrder = z.infer<typeof begin>;

let statements = 0;
let redisCommands = 0;
const buckets: LiftedBucket[] = [];
let daemon: Daemon | undefined;
let takeDelays: ReturnType<typeof watchDelays> | undefined;

countCalls(pg.Client.prototype, 'query', () => {
  statements += 1;
});
countCalls(Redis.prototype, 'sendCommand', () => {
  redisCommands += 1;
});

function openBucket(callsUnderWay: number): LiftedBucket {
  const bucket = createLiftedBucket(callsUnderWay);
  // Undici publishes the end of every call, successful or not.
  for (const end of ['trailers', 'error']) channel(`undici:request:${end}`).subscribe(() => bucket.give());
  buckets.push(bucket);
  return bucket;
}

serve({
  async begin(value) {
    const { databaseUrl, redisUrl, apps, callsUnderWay, environment } = begin.parse(value);
    const env = { DATABASE_URL: databaseUrl, REDIS_URL: redisUrl, HTTP_PORT: '0', LOG_LEVEL: 'error' };
    const config = {
      ...parseConfig({ env: { ...env, ...environment }, readFile: () => '' }, ['database']),
      apps: apps.map((app) => ({ ...app, admin: 'administrator' })),
    };
    const scrubber = createScrubber(secretsOf(config));
    daemon = await startDaemon({
      config,
      roles: ['all'],
      log: createLogger({ level: config.logLevel, scrubber }),
      scrubber,
      confirmRemovalAfterMs: 1000,
      ...(callsUnderWay === undefined ? {} : { openBucket: () => openBucket(callsUnderWay) }),
    });
  },
  pause: () => {
    for (const bucket of buckets) bucket.close();
  },
  resume: () => {
    for (const bucket of buckets) bucket.open();
  },
  counts: () => ({ statements, redisCommands }),
  watchDelays() {
    takeDelays ??= watchDelays();
  },
  delays: () => takeDelays?.(),
  address: () => daemon?.http.url,
  /** Megabytes of JavaScript's heap; without garbage where Node was started with --expose-gc. */
  heap() {
    globalThis.gc?.();
    return process.memoryUsage().heapUsed / 2 ** 20;
  },
  stop: () => daemon?.stop(),
});
