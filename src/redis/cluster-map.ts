import { Redis } from 'ioredis';
import { z } from 'zod';
import type { Endpoint, RedisCluster } from '../config/redis-servers.ts';
import { loginOf, withFreshLogin } from './redis-login.ts';
import { SurvivingStandaloneConnector } from './surviving-connectors.ts';

/** Which node of a Redis Cluster holds which keys, asked of the cluster itself. */
export interface ClusterMap {
  /** The master that holds a key, as far as the nodes know. Rejects when no node answers, or none holds it. */
  ownerOf(key: string): Promise<Endpoint>;
}

interface Range {
  readonly from: number;
  readonly to: number;
  readonly owner: Endpoint;
}

const timeoutMs = 2000;
/** Connections that look for their node at the same time share the answer. */
const keepMs = 250;

const node = z.tuple([z.string().nullable(), z.number()]).rest(z.unknown());
const range = z.tuple([z.number(), z.number(), node]).rest(node);
const ranges = z.array(range);

/** A map that asks the nodes named first, and later also those it has heard of. */
export function createClusterMap(servers: RedisCluster): ClusterMap {
  const slots = new Map<string, number>();
  let known: readonly Endpoint[] = servers.nodes;
  let read: { readonly at: number; readonly ranges: Promise<readonly Range[]> } | undefined;

  /** Asks one node after the other, in any order, for some are away. */
  async function ask<T>(question: (redis: Redis, endpoint: Endpoint) => Promise<T>): Promise<T> {
    let failure: unknown;
    for (const endpoint of shuffled(known)) {
      const redis = new Redis({ ...optionsOf(withFreshLogin(servers)), ...endpoint });
      let cause: unknown;
      redis.on('error', (error) => {
        cause = error;
      });
      try {
        return await question(redis, endpoint);
      } catch (error) {
        // The error of a command says only that there is no connection.
        failure = cause ?? error;
      } finally {
        redis.disconnect();
      }
    }
    throw new Error('no node of the cluster answers', { cause: failure });
  }

  async function readRanges(): Promise<readonly Range[]> {
    const found = await ask(async (redis, asked) =>
      ranges.parse(await redis.cluster('SLOTS')).map(([from, to, master, ...replicas]) => ({
        from,
        to,
        owner: endpointOf(master, asked),
        others: replicas.map((replica) => endpointOf(replica, asked)),
      })),
    );
    const heard = found.flatMap(({ owner, others }) => [owner, ...others]);
    known = [
      ...new Map([...servers.nodes, ...heard].map((each) => [`${each.host} ${each.port}`, each])).values(),
    ];
    return found;
  }

  return {
    async ownerOf(key) {
      const slot = slots.get(key) ?? (await ask((redis) => redis.cluster('KEYSLOT', key)));
      slots.set(key, slot);
      if (read === undefined || performance.now() - read.at > keepMs)
        read = { at: performance.now(), ranges: readRanges() };
      const owner = (await read.ranges).find(({ from, to }) => from <= slot && slot <= to)?.owner;
      if (owner === undefined) throw new Error('no node of the cluster holds the key');
      return owner;
    },
  };
}

/** A node that does not know its own name is where it was asked. */
function endpointOf([host, port]: z.infer<typeof node>, asked: Endpoint): Endpoint {
  return { host: host || asked.host, port };
}

function optionsOf(servers: RedisCluster) {
  return {
    ...loginOf(servers),
    connectionName: 'tim-mirror-map',
    Connector: SurvivingStandaloneConnector,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
    enableReadyCheck: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  };
}

function shuffled<T>(values: readonly T[]): readonly T[] {
  return values
    .map((value) => ({ value, place: Math.random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ value }) => value);
}
