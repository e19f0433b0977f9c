import { Cluster, type ClusterOptions, Redis } from 'ioredis';
import type { RedisServers } from '../src/redis-servers.ts';

/** A server, or a cluster as one. */
export type RedisClient = Redis | Cluster;

export interface RedisClientOptions {
  /** Shown by `CLIENT LIST`. */
  readonly name: string;
  /** Whether a command waits for a server that is away, or fails at once. */
  readonly waits: boolean;
  /** A command that has no answer after this fails. */
  readonly commandTimeoutMs?: number;
  /** A connection on which an answer is owed for so long is broken off: its server hangs, or has vanished. */
  readonly silentMs: number;
}

const connectTimeoutMs = 5000;
/** What a cluster's client asks for again, 100 ms apart, while a node is away. */
const patientRetries = 64;
const hastyRetries = 3;

const retryDelay = (times: number) => Math.min(100 * times, 2000);
/** A master that has become a replica: connecting again finds the new one. */
const isDemoted = (error: Error) => error.message.includes('READONLY');

/** A client that is not connected yet. */
export function createRedisClient(servers: RedisServers, options: RedisClientOptions): RedisClient {
  const common = {
    connectionName: options.name,
    connectTimeout: connectTimeoutMs,
    socketTimeout: options.silentMs,
    ...(options.commandTimeoutMs === undefined ? {} : { commandTimeout: options.commandTimeoutMs }),
    maxRetriesPerRequest: options.waits ? null : 0,
  };
  const direct = {
    ...common,
    lazyConnect: true,
    enableOfflineQueue: options.waits,
    retryStrategy: retryDelay,
    reconnectOnError: isDemoted,
  };
  switch (servers.kind) {
    case 'single':
      return new Redis(servers.url, direct);
    case 'sentinel':
      return new Redis({
        ...direct,
        ...loginOf(servers),
        sentinels: [...servers.sentinels],
        name: servers.name,
        ...(servers.sentinelPassword === undefined ? {} : { sentinelPassword: servers.sentinelPassword }),
        ...(servers.tls ? { sentinelTLS: {}, enableTLSForSentinelMode: true } : {}),
        sentinelRetryStrategy: retryDelay,
      });
    case 'cluster':
      return new Cluster([...servers.nodes], {
        ...clusterOptions(options),
        redisOptions: { ...common, ...loginOf(servers) },
      });
  }
}

function clusterOptions(options: RedisClientOptions): ClusterOptions {
  return {
    lazyConnect: true,
    enableOfflineQueue: options.waits,
    clusterRetryStrategy: retryDelay,
    maxRedirections: options.waits ? patientRetries : hastyRetries,
    // Certificates name hosts, and so must whoever connects.
    dnsLookup: (address, done) => done(null, address),
  };
}

function loginOf(servers: Extract<RedisServers, { kind: 'cluster' | 'sentinel' }>) {
  return {
    ...(servers.username === undefined ? {} : { username: servers.username }),
    ...(servers.password === undefined ? {} : { password: servers.password }),
    ...(servers.tls ? { tls: {} } : {}),
  };
}

/** The servers that hold keys: itself, or the masters of a cluster that are known now. */
export function serversOf(client: RedisClient): readonly Redis[] {
  return client instanceof Cluster ? client.nodes('master') : [client];
}

/** Rejects unless every key has a server that answers. */
export async function pingAll(client: RedisClient): Promise<void> {
  if (client instanceof Cluster) {
    const state = String(await client.cluster('INFO'));
    const isWhole = /cluster_state:ok/.test(state) && /cluster_slots_fail:0\b/.test(state);
    if (!isWhole) throw new Error('a node of the cluster is away');
  }
  await Promise.all(serversOf(client).map((server) => server.ping()));
}
