import type { Redis } from 'ioredis';
import { type RedisServers, redisTag } from '../config/redis-servers.ts';
import { withTimeout } from '../lifecycle.ts';
import type { Logger } from '../log.ts';
import { StartError } from '../start-error.ts';
import { createClusterMap } from './cluster-map.ts';
import { createRedisClient } from './redis-client.ts';
import { describeRedisProblem, redisProblemOf } from './redis-problem.ts';

/** The two ways the daemon talks to Redis about an app, or about what belongs to no app. */
interface RedisClients {
  /** For the queues: commands wait while Redis is away. */
  readonly queues: Redis;
  /** For the bucket: a command that can't be carried out now fails now, for late slots are worthless. */
  readonly bucket: Redis;
}

/** Connections to Redis: one pair for everything, or in a Redis Cluster a pair for each app, on the node with its keys. */
export interface RedisConnections {
  /** The clients of an app that was named at the start; without an app those of the maintenance. */
  clients(appId?: number): RedisClients;
  /** Rejects when Redis, or a node that an app needs, does not run a script that writes, as a poll's slot needs it. */
  tryWrite(): Promise<void>;
  /** Keys that the servers have evicted since they were started. */
  readEvicted(): Promise<number>;
  close(): void;
}

/** A server that is full, that lacks replicas or that only reads answers a ping and refuses this. */
const writeScript = "redis.call('TIME') return redis.call('SET', KEYS[1], '1', 'EX', 60)";

/** Sentinels and nodes that do not answer are asked for ever. */
const startTimeoutMs = 15_000;
const commandTimeoutMs = 2000;
const silentBucketMs = 5000;
/** A worker's connection waits up to 10 s for a job. */
const silentQueuesMs = 15_000;

/** Whether commands are carried out at this moment. */
export function isReady({ queues }: RedisClients): boolean {
  return queues.status === 'ready';
}

/**
 * Connects to Redis, or throws StartError when it does not answer. Of a cluster one node is enough: the apps of the
 * others wait for theirs.
 */
export async function connectRedis(
  servers: RedisServers,
  appIds: readonly number[],
  log: Logger,
): Promise<RedisConnections> {
  const byTag =
    servers.kind === 'cluster'
      ? openClusterClients(servers, appIds)
      : new Map([['', openClients(servers, undefined)]]);
  const all = [...byTag.values()];
  const disconnect = () => {
    for (const { queues, bucket } of all) for (const redis of [queues, bucket]) redis.disconnect();
  };
  let last: Error | undefined;
  /** Why a connection is lost; the error of a command says only that it is. */
  const causes = new WeakMap<Redis, Error>();
  // What a single server refuses for good is not tried for long; of several another may be well.
  const refused = Promise.withResolvers<never>();
  refused.promise.catch(() => undefined);
  for (const { queues, bucket } of all)
    for (const redis of [queues, bucket]) {
      redis.on('ready', () => causes.delete(redis));
      redis.on('error', (error: Error) => {
        last = error;
        causes.set(redis, error);
        if (servers.kind === 'single' && redisProblemOf(error).lasting) refused.reject(error);
        log.debug({ err: error }, 'redis fails');
      });
    }
  const connecting = [...byTag].map(async ([tag, clients]) => {
    await Promise.all([clients.queues.connect(), clients.bucket.connect()]);
    await clients.bucket.ping();
    await warnOfEviction(clients.bucket, log);
    return tag;
  });
  try {
    await withTimeout(startTimeoutMs, Promise.race([Promise.any(connecting), refused.promise]));
  } catch (error) {
    disconnect();
    const cause = last ?? (error instanceof AggregateError ? error.errors[0] : error);
    throw new StartError(describeRedisProblem(redisProblemOf(cause), placeOfRedis(servers)), error);
  }
  // Most nodes answer at once, and one that is away must not hold up the others' apps.
  await withTimeout(startTimeoutMs, Promise.allSettled(connecting)).catch(() => undefined);
  let open = true;
  for (const [tag, clients] of byTag) reportLoss(tag, clients, () => open, log);

  return {
    clients(appId) {
      const clients = byTag.get(redisTag(appId)) ?? byTag.get('');
      if (clients === undefined) throw new Error(`app ${appId} has no connections to Redis`);
      return clients;
    },
    async tryWrite() {
      await Promise.all(
        [...byTag].map(([tag, { bucket }]) =>
          bucket
            .eval(writeScript, 1, `${tag === '' ? redisTag(undefined) : tag}:ready`)
            .catch((error: unknown) => {
              throw bucket.status === 'ready' ? error : (causes.get(bucket) ?? error);
            }),
        ),
      );
    },
    async readEvicted() {
      const evicted = new Map<string, number>();
      for (const text of await Promise.all(all.map(({ bucket }) => bucket.info()))) {
        // Several byTag may be on one server.
        const server = /run_id:(\w+)/.exec(text)?.[1] ?? '';
        evicted.set(server, Number(/evicted_keys:(\d+)/.exec(text)?.[1] ?? 0));
      }
      return [...evicted.values()].reduce((sum, keys) => sum + keys, 0);
    },
    close() {
      open = false;
      disconnect();
    },
  };
}

/** Where Redis is, for people, without user and password. */
function placeOfRedis(servers: RedisServers): string {
  if (servers.kind !== 'single') {
    const endpoints = servers.kind === 'cluster' ? servers.nodes : servers.sentinels;
    return endpoints.map(({ host, port }) => `${host}:${port}`).join(', ');
  }
  const { hostname, port, pathname, protocol } = new URL(servers.url);
  const database = pathname.length > 1 ? `, database ${pathname.slice(1)},` : '';
  return `${hostname}:${port || 6379}${database}${protocol === 'rediss:' ? ' (TLS)' : ''}`;
}

function openClusterClients(servers: Extract<RedisServers, { kind: 'cluster' }>, appIds: readonly number[]) {
  const map = createClusterMap(servers);
  return new Map(
    [undefined, ...appIds].map((appId) => {
      const key = redisTag(appId);
      return [key, openClients(servers, { map, key })];
    }),
  );
}

function openClients(servers: RedisServers, place: Parameters<typeof createRedisClient>[1]): RedisClients {
  const queues = createRedisClient(servers, place, {
    name: 'tim-mirror-queues',
    waits: true,
    silentMs: silentQueuesMs,
  });
  const bucket = createRedisClient(servers, place, {
    name: 'tim-mirror-buckets',
    waits: false,
    commandTimeoutMs,
    silentMs: silentBucketMs,
  });
  // Every app listens to what becomes of its bucket.
  bucket.setMaxListeners(0);
  return { queues, bucket };
}

function reportLoss(tag: string, clients: RedisClients, isOpen: () => boolean, log: Logger): void {
  const about = tag === '' ? {} : { keys: tag };
  let ready = isReady(clients);
  if (!ready) log.warn(about, 'a node of the cluster is away: its apps wait');
  clients.queues.on('close', () => {
    if (ready && isOpen()) log.warn(about, 'redis lost: nothing is polled until it is back');
    ready = false;
  });
  clients.queues.on('ready', () => {
    if (!ready) log.info(about, 'redis is back');
    ready = true;
  });
}

async function warnOfEviction(redis: Redis, log: Logger): Promise<void> {
  const policy = /maxmemory_policy:(\S+)/.exec(await redis.info('memory'))?.[1];
  if (policy !== undefined && policy !== 'noeviction') {
    log.warn({ policy }, `Redis may evict keys under maxmemory-policy ${policy}; set it to noeviction.`);
  }
}
