import { Redis, type RedisOptions } from 'ioredis';
import type { RedisServers } from '../config/redis-servers.ts';
import type { ClusterMap } from './cluster-map.ts';
import { connectorTo } from './owner-connector.ts';
import { freshLogin, loginOf, withFreshLogin } from './redis-login.ts';
import { SurvivingSentinelConnector, SurvivingStandaloneConnector } from './surviving-connectors.ts';

interface RedisClientOptions {
  /** Shown by `CLIENT LIST`. */
  readonly name: string;
  /** Whether a command waits for a server that is away, or fails at once. */
  readonly waits: boolean;
  /** A command that has no answer after this fails. */
  readonly commandTimeoutMs?: number;
  /** A connection on which an answer is owed for this long is aborted: its server hangs, or has vanished. */
  readonly silentMs: number;
}

/** The part of a cluster that a connection is for. */
interface ClusterPlace {
  readonly map: ClusterMap;
  /** A key on the node to connect to. */
  readonly key: string;
}

const connectTimeoutMs = 5000;
const retryDelay = (times: number) => Math.min(100 * times, 2000);
/** A master that has become a replica, a node that has given the key away: connecting again finds the right one. */
const isElsewhere = (error: Error) => /READONLY|^MOVED|^CLUSTERDOWN/.test(error.message);

/**
 * A connection that is not made yet, to the server that has the keys: in a cluster the node that holds them, wherever
 * they go. A client for the whole cluster would have a connection to every node for each worker, and BullMQ's workers
 * have been seen to depend on one after a node was lost.
 */
export function createRedisClient(
  servers: RedisServers,
  place: ClusterPlace | undefined,
  options: RedisClientOptions,
): Redis {
  const common = {
    connectionName: options.name,
    connectTimeout: connectTimeoutMs,
    socketTimeout: options.silentMs,
    ...(options.commandTimeoutMs === undefined ? {} : { commandTimeout: options.commandTimeoutMs }),
    maxRetriesPerRequest: options.waits ? null : 0,
    lazyConnect: true,
    enableOfflineQueue: options.waits,
    // Called before each new attempt, with the options that it will be made with.
    retryStrategy(this: RedisOptions, times: number) {
      Object.assign(this, freshLogin(servers));
      return retryDelay(times);
    },
    reconnectOnError: (error: Error) => (isElsewhere(error) ? (options.waits ? 2 : 1) : false),
  } as const;
  const now = withFreshLogin(servers);
  switch (now.kind) {
    case 'single':
      return new Redis(now.url, { ...common, Connector: SurvivingStandaloneConnector });
    case 'sentinel':
      return new Redis({
        ...common,
        ...loginOf(now),
        Connector: SurvivingSentinelConnector,
        sentinels: [...now.sentinels],
        name: now.name,
        ...(now.sentinelPassword === undefined ? {} : { sentinelPassword: now.sentinelPassword }),
        ...(now.tls ? { sentinelTLS: {}, enableTLSForSentinelMode: true } : {}),
        sentinelRetryStrategy: retryDelay,
      });
    case 'cluster': {
      if (place === undefined) throw new Error('which node of the cluster is meant is not known');
      const { map, key } = place;
      return new Redis({
        ...common,
        ...loginOf(now),
        Connector: connectorTo(() => map.ownerOf(key), now.tls),
      });
    }
  }
}
