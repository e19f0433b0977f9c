import { inTime } from '../src/lifecycle.ts';
import type { Logger } from '../src/log.ts';
import type { RedisServers } from '../src/redis-servers.ts';
import { createRedisClient, pingAll, type RedisClient, serversOf } from './connect-redis-client.ts';
import { StartError } from './start-error.ts';

/** The two ways the daemon talks to Redis. */
export interface RedisConnections {
  /** For the queues: commands wait while Redis is away. */
  readonly queues: RedisClient;
  /** For the buckets: a command that can't be carried out now fails now, for late slots are worthless. */
  readonly buckets: RedisClient;
  /** Rejects when Redis, or a node of the cluster, does not answer. */
  ping(): Promise<void>;
  /** Keys that the servers have evicted since they were started. */
  readEvicted(): Promise<number>;
  close(): void;
}

/** Sentinels that do not answer are asked for ever. */
const startTimeoutMs = 15_000;
const commandTimeoutMs = 2000;
const silentBucketsMs = 5000;
/** A worker's connection waits up to 10 s for a job. */
const silentQueuesMs = 15_000;

/** Connects to Redis, or throws StartError when it does not answer. */
export async function connectRedis(servers: RedisServers, log: Logger): Promise<RedisConnections> {
  const queues = createRedisClient(servers, {
    name: 'tim-mirror queues',
    waits: true,
    silentMs: silentQueuesMs,
  });
  const buckets = createRedisClient(servers, {
    name: 'tim-mirror buckets',
    waits: false,
    commandTimeoutMs,
    silentMs: silentBucketsMs,
  });
  // Every app listens to what becomes of its bucket.
  buckets.setMaxListeners(0);
  let ready = false;
  for (const redis of [queues, buckets])
    redis.on('error', (error: Error) => log.debug({ err: error }, 'redis in trouble'));
  const disconnect = () => {
    queues.disconnect();
    buckets.disconnect();
  };
  try {
    await inTime(startTimeoutMs, Promise.all([queues.connect(), buckets.connect()]));
    await pingAll(buckets);
  } catch (error) {
    disconnect();
    throw new StartError('Redis does not answer; check REDIS_URL and that it is running.', error);
  }
  queues.on('close', () => {
    if (ready) log.warn('redis lost: nothing is polled until it is back');
    ready = false;
  });
  queues.on('ready', () => {
    if (!ready) log.info('redis is back');
    ready = true;
  });
  ready = true;
  await warnOfEviction(queues, log);
  return {
    queues,
    buckets,
    ping: () => pingAll(buckets),
    async readEvicted() {
      const stats = await Promise.all(serversOf(buckets).map((server) => server.info('stats')));
      return stats.reduce((sum, text) => sum + Number(/evicted_keys:(\d+)/.exec(text)?.[1] ?? 0), 0);
    },
    close() {
      ready = false;
      disconnect();
    },
  };
}

async function warnOfEviction(redis: RedisClient, log: Logger): Promise<void> {
  const texts = await Promise.all(serversOf(redis).map((server) => server.info('memory')));
  const policy = texts
    .map((text) => /maxmemory_policy:(\S+)/.exec(text)?.[1])
    .find((each) => each !== undefined && each !== 'noeviction');
  if (policy !== undefined)
    log.warn({ policy }, `Redis may evict keys under maxmemory-policy ${policy}; set it to noeviction.`);
}
