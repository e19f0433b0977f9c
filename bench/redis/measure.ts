import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { startRedis } from '../../dev/local-servers/redis.ts';
import { leaseSeconds } from '../../src/app/claim-batches.ts';
import { defaultCallsPerSecond } from '../../src/config/values.ts';
import { createRedisSlots } from '../../src/limiter/redis-slots.ts';
import { silentLogger } from '../../src/log.ts';
import { connectRedis } from '../../src/redis/redis-connections.ts';
import { createRedisQueues, type PollBatch } from '../../workers/queues.ts';

/** What Redis holds for this many apps, with one process that serves all of them. */
export interface RedisFigures {
  readonly apps: number;
  /** Of all keys, with full queues and the jobs that are kept. */
  readonly keyBytes: number;
  /** As Redis itself reports it, the clients' buffers included. */
  readonly usedBytes: number;
  readonly clients: number;
  /** Of Redis' own time. */
  readonly scriptMicroseconds: number;
}

const callsPerSecond = defaultCallsPerSecond;
/** What the dispatcher keeps of an app: batches that wait or are under way, and those that are done. */
const unfinished = 12;
const kept = 20;
const batchSize = 48;
const reservations = 2000;

/** Fills the queues of this many apps as a daemon at full budget does, and reads what that takes. */
export async function measureRedis(apps: number): Promise<RedisFigures> {
  const server = await startRedis({ say: (sentence) => process.stderr.write(`${sentence}\n`) });
  const log = silentLogger();
  const appIds = Array.from({ length: apps }, (_, index) => 1_400_000_000 + index);
  const redis = await connectRedis({ kind: 'single', url: server.url }, appIds, log);
  const queues = createRedisQueues(redis, { installationId: 'bench', onForeignJob: () => undefined, log });
  const over = new AbortController();
  setMaxListeners(0, over.signal);
  try {
    const { bucket } = redis.clients();
    const empty = await read(bucket);
    for (const appId of appIds) {
      const polls = queues.open('poll', appId);
      await queues.open('dispatch', appId).schedule(1000, false);
      queues.work('dispatch', { appId, concurrency: 1, process: async () => undefined });
      let done = 0;
      const filled = Promise.withResolvers<void>();
      queues.work('poll', {
        appId,
        concurrency: 6,
        // Those that are done stay for a while; the others are under way until the end.
        async process() {
          done += 1;
          if (done > kept) {
            filled.resolve();
            await sleep(leaseSeconds * 1000, undefined, { signal: over.signal }).catch(() => undefined);
          }
        },
      });
      await polls.add(Array.from({ length: kept + unfinished }, (_, index) => batchOf(appId, index)));
      await filled.promise;
      await createRedisSlots({ redis: bucket, appId, callsPerSecond }).reserve(1);
    }
    const full = await read(bucket);
    return {
      apps,
      keyBytes: full.dataset - empty.dataset,
      usedBytes: full.used,
      clients: full.clients,
      scriptMicroseconds: await timeScript(redis.clients(appIds[0]).bucket, appIds[0] ?? 0),
    };
  } finally {
    over.abort();
    await queues.close();
    redis.close();
    await server.stop();
  }
}

type Bucket = ReturnType<Awaited<ReturnType<typeof connectRedis>>['clients']>['bucket'];

async function read(bucket: Bucket) {
  const text = `${await bucket.info('memory')}${await bucket.info('clients')}`;
  const figure = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(text)?.[1] ?? 0);
  return {
    dataset: figure('used_memory_dataset'),
    used: figure('used_memory'),
    clients: figure('connected_clients'),
  };
}

async function timeScript(bucket: Bucket, appId: number): Promise<number> {
  const slots = createRedisSlots({ redis: bucket, appId, callsPerSecond });
  await bucket.config('RESETSTAT');
  for (let index = 0; index < reservations; index += 1) {
    await slots.reserve(1);
    // The record may not run away from the clock.
    if (index % 100 === 0) await bucket.del(`{tim:${appId}}:bucket`);
  }
  const stats = await bucket.info('commandstats');
  return Number(/cmdstat_eval:.*usec_per_call=([\d.]+)/.exec(stats)?.[1] ?? 0);
}

/** A batch as dispatched: ids and hashes as long as they are in life. */
function batchOf(appId: number, index: number): PollBatch {
  return {
    claimedAt: Date.now(),
    probe: false,
    accounts: Array.from({ length: batchSize }, (_, place) => ({
      accountKey: 1_000_000 + index * batchSize + place,
      accountId: `user-${appId}-${String(place).padStart(8, '0')}`,
      claimNo: 1000,
      status: 'active',
      sequence: 123_456,
      weight: 1.234_567_890_123,
      decayedChanges: 2.345_678_901_234,
      groupCount: 3,
      failCount: 0,
      firstPolledAt: Date.now(),
      verifiedAt: Date.now(),
      fullReadAt: Date.now(),
      changedAt: Date.now(),
      pendingAt: null,
      contentHash: 'a'.repeat(64),
      pendingHash: null,
    })),
  };
}
