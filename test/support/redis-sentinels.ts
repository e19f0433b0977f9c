import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { type LocalRedis, plainServer, startRedis } from '../../dev/local-servers/redis.ts';
import { waitFor } from './wait-for.ts';

/** A master and a replica, and three sentinels that watch them. */
export interface TestSentinels extends AsyncDisposable {
  readonly master: LocalRedis;
  readonly replica: LocalRedis;
  readonly url: string;
  /** Waits until the sentinels agree that it is the master. */
  untilMasterIs(server: LocalRedis): Promise<void>;
  /** Has the sentinels put it in the place of a master that is alive. */
  failOverTo(server: LocalRedis): Promise<void>;
}

const name = 'tim-master';
const say = (sentence: string) => process.stderr.write(`${sentence}\n`);

/** Starts them on free ports, and waits until a fail-over is possible. */
export async function createTestSentinels(): Promise<TestSentinels> {
  const servers: LocalRedis[] = [];
  const stop = async () => {
    await Promise.all(servers.map((server) => server.stop()));
  };
  const start = async (args?: Parameters<typeof startRedis>[0]['args']) => {
    const server = await startRedis({ say, ...(args === undefined ? {} : { args }) });
    servers.push(server);
    return server;
  };
  try {
    const master = await start();
    const replica = await start((place) => [
      ...plainServer(place),
      ...['--replicaof', '127.0.0.1', String(master.port), '--repl-diskless-sync-delay', '0'],
    ]);
    const sentinels: LocalRedis[] = [];
    for (let index = 0; index < 3; index += 1) sentinels.push(await start(sentinelOf(master.port)));
    for (const sentinel of sentinels) await waitUntilItKnowsAll(sentinel);
    const isMaster = async (server: LocalRedis) => {
      const masters = await Promise.all(sentinels.map((sentinel) => onSentinel(sentinel, masterPort)));
      return masters.every((port) => port === server.port);
    };
    const untilMasterIs = (server: LocalRedis) =>
      waitFor(`port ${server.port} to be the master`, () => isMaster(server)).then(() => undefined);
    const hosts = sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',');
    return {
      master,
      replica,
      url: `redis+sentinel://${hosts}/${name}`,
      untilMasterIs,
      async failOverTo(server) {
        // Refused until the server is known as a good replica, and while another fail-over is under way.
        await waitFor('a fail-over to begin', async () => {
          await onSentinel(sentinels[0], (redis) => redis.call('SENTINEL', 'FAILOVER', name)).catch(
            () => undefined,
          );
          return isMaster(server);
        });
      },
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A sentinel writes into its configuration, so each has a file of its own. */
function sentinelOf(masterPort: number) {
  return ({ port, folder }: { port: number; folder: string }): readonly string[] => {
    const file = join(folder, 'sentinel.conf');
    const lines = [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${folder}`,
      `sentinel monitor ${name} 127.0.0.1 ${masterPort} 2`,
      `sentinel down-after-milliseconds ${name} 500`,
      `sentinel failover-timeout ${name} 3000`,
    ];
    writeFileSync(file, `${lines.join('\n')}\n`);
    return [file, '--sentinel'];
  };
}

async function waitUntilItKnowsAll(sentinel: LocalRedis): Promise<void> {
  await onSentinel(sentinel, (redis) =>
    waitFor('a sentinel to know the others and the replica', async () =>
      /status=ok,.*slaves=1,sentinels=3/.test(await redis.info('sentinel')),
    ),
  );
}

async function masterPort(redis: Redis): Promise<number> {
  return Number(Object(await redis.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name))[1]);
}

async function onSentinel<T>(
  sentinel: LocalRedis | undefined,
  use: (redis: Redis) => Promise<T>,
): Promise<T> {
  const redis = new Redis(sentinel?.url ?? '', { enableReadyCheck: false });
  try {
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}
