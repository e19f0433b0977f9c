import { Redis } from 'ioredis';
import type { Logger } from '../src/log.ts';
import { StartError } from './start-error.ts';

/** The two ways the daemon talks to Redis. */
export interface RedisConnections {
  /** For the queues: commands wait while Redis is away. */
  readonly queues: Redis;
  /** For the buckets: a command that can't be carried out now fails now, for late slots are worthless. */
  readonly buckets: Redis;
  /** Keys that the server has evicted since it was started. */
  readEvicted(): Promise<number>;
  close(): void;
}

const connectTimeoutMs = 5000;
const commandTimeoutMs = 2000;

/** Connects to Redis, or throws StartError when it does not answer. */
export async function connectRedis(url: string, log: Logger): Promise<RedisConnections> {
  const retryStrategy = (times: number) => Math.min(100 * times, 2000);
  const queues = new Redis(url, {
    lazyConnect: true,
    maxRetriesPerRequest: null,
    connectTimeout: connectTimeoutMs,
    connectionName: 'tim-mirror queues',
    retryStrategy,
  });
  const buckets = new Redis(url, {
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    commandTimeout: commandTimeoutMs,
    connectTimeout: connectTimeoutMs,
    connectionName: 'tim-mirror buckets',
    retryStrategy,
  });
  let ready = false;
  for (const redis of [queues, buckets])
    redis.on('error', (error) => log.debug({ err: error }, 'redis in trouble'));
  const disconnect = () => {
    queues.disconnect();
    buckets.disconnect();
  };
  try {
    await Promise.all([queues.connect(), buckets.connect()]);
    await buckets.ping();
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
    async readEvicted() {
      return Number(/evicted_keys:(\d+)/.exec(await buckets.info('stats'))?.[1] ?? 0);
    },
    close() {
      ready = false;
      disconnect();
    },
  };
}

async function warnOfEviction(redis: Redis, log: Logger): Promise<void> {
  const policy = /maxmemory_policy:(\S+)/.exec(await redis.info('memory'))?.[1];
  if (policy !== undefined && policy !== 'noeviction') {
    log.warn({ policy }, `Redis may evict keys under maxmemory-policy ${policy}; set it to noeviction.`);
  }
}
