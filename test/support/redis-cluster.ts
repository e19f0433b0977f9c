import { Redis } from 'ioredis';
import { freePort } from '../../dev/local-servers/free-port.ts';
import { type LocalRedis, plainServer, startRedis } from '../../dev/local-servers/redis.ts';
import { waitFor } from './wait-for.ts';

/** A Redis Cluster of three masters, each with a third of the slots, the first with a replica. */
export interface TestCluster extends AsyncDisposable {
  readonly masters: readonly LocalRedis[];
  readonly replica: LocalRedis;
  readonly url: string;
  /** The master that holds a key. */
  ownerOf(key: string): Promise<LocalRedis>;
}

const slots = 16_384;
const nodeTimeoutMs = 1000;

/** Starts the nodes on free ports and makes a cluster of them. */
export async function createTestCluster(): Promise<TestCluster> {
  const nodes: LocalRedis[] = [];
  const stop = async () => {
    await Promise.all(nodes.map((node) => node.stop()));
  };
  try {
    for (let index = 0; index < 4; index += 1) nodes.push(await startNode());
    const [replica] = nodes.slice(-1);
    const masters = nodes.slice(0, -1);
    if (replica === undefined) throw new Error('there is no replica');
    await join(masters, replica);
    return {
      masters,
      replica,
      url: `redis+cluster://${masters.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
      async ownerOf(key) {
        const slot = await on(masters[0], (redis) => redis.cluster('KEYSLOT', key));
        const owner = masters[Math.floor(slot / (slots / masters.length))];
        if (owner === undefined) throw new Error(`no node has slot ${slot}`);
        return owner;
      },
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startNode(): Promise<LocalRedis> {
  const busPort = await freePort();
  return startRedis({
    say: (sentence) => process.stderr.write(`${sentence}\n`),
    args: (place) => [
      ...plainServer(place),
      ...['--cluster-enabled', 'yes', '--cluster-port', String(busPort)],
      ...['--cluster-node-timeout', String(nodeTimeoutMs)],
      // A node that is away takes its own keys with it, and no others.
      ...['--cluster-require-full-coverage', 'no', '--repl-diskless-sync-delay', '0'],
    ],
  });
}

async function join(masters: readonly LocalRedis[], replica: LocalRedis): Promise<void> {
  const [first] = masters;
  for (const [index, node] of masters.entries()) {
    const from = Math.ceil((index * slots) / masters.length);
    const to = Math.ceil(((index + 1) * slots) / masters.length);
    await on(node, async (redis) => {
      await redis.cluster('SET-CONFIG-EPOCH', index + 1);
      await redis.cluster('ADDSLOTS', ...Array.from({ length: to - from }, (_, slot) => from + slot));
    });
  }
  const meetings = [...masters.slice(1), replica];
  for (const node of meetings) await on(node, (redis) => meet(redis, first));
  const id = await on(first, (redis) => redis.cluster('MYID'));
  await waitFor('the replica to know its master', () =>
    on(replica, (redis) =>
      redis.cluster('REPLICATE', id).then(
        () => true,
        () => false,
      ),
    ),
  );
  for (const node of [...masters, replica]) {
    await waitFor('every node to know all slots and nodes', () =>
      on(node, async (redis) => {
        const info = String(await redis.cluster('INFO'));
        return (
          /cluster_state:ok/.test(info) && /cluster_slots_ok:16384/.test(info) && /known_nodes:4/.test(info)
        );
      }),
    );
  }
  await waitFor('the replica to have caught up', () =>
    on(replica, async (redis) => /master_link_status:up/.test(await redis.info('replication'))),
  );
}

async function meet(redis: Redis, first: LocalRedis | undefined): Promise<void> {
  const bus = await on(first, async (other) => {
    const nodes = String(await other.cluster('NODES'));
    return /@(\d+)/.exec(nodes)?.[1] ?? '';
  });
  await redis.call('CLUSTER', 'MEET', '127.0.0.1', String(first?.port), bus);
}

async function on<T>(node: LocalRedis | undefined, use: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(node?.url ?? '');
  try {
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}
