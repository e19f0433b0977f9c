import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { sweepAbandonedFolders } from '../../dev/local-servers/owned-folder.ts';
import { type LocalRedis, startRedis } from '../../dev/local-servers/redis.ts';
import { defaultCallsPerSecond } from '../../src/config/values.ts';
import { startHelper } from '../support/helper-process.ts';
import { longestGapMs, ratePerSecond, worstSecond } from '../support/sliding-second.ts';
import { type Callers, startCallers } from './callers.ts';
import type { ContenderName } from './contender.ts';
import type { Latency } from './latency.ts';

/** What came of one measurement. */
export interface LimiterFigures {
  readonly perSecond: number;
  readonly slidingMaxSent: number;
  readonly slidingMaxArrived: number;
  readonly redisCallsPerSecond: number;
  /** The longest time in which nothing arrived. */
  readonly longestGapMs: number;
}

/** Callers, the Redis it shares and the app it calls for. */
export interface Run {
  readonly callers: Callers;
  readonly redis: LocalRedis;
  readonly appId: number;
}

interface Measurement {
  readonly settleMs: number;
  readonly ms: number;
  /** What happens in the middle of it. */
  readonly disturb?: ((run: Run) => Promise<void>) | undefined;
}

/** The server that is called, and whatever calls it. */
export interface Harness {
  openRedis(): Promise<LocalRedis>;
  /** Three processes of a hundred callers each, with the latency given. */
  start(contender: ContenderName, redis: LocalRedis, there: Latency, back: Latency): Promise<Run>;
  /** Has callers call, and counts the calls as they are sent and as they arrive. */
  measure(run: Run, measurement: Measurement): Promise<LimiterFigures>;
  close(): Promise<void>;
}

/** The default of `TIM_CALLS_PER_SECOND`. */
export const configured = defaultCallsPerSecond;
const processes = 3;
const callersInProcess = 100;

const moments = z.record(z.string(), z.array(z.number()));

const epochNow = () => performance.timeOrigin + performance.now();

/** Starts the server. */
export async function openHarness(): Promise<Harness> {
  await sweepAbandonedFolders();
  const server = startHelper(new URL('server-process.ts', import.meta.url));
  const closers: (() => Promise<unknown>)[] = [() => server.end()];
  // Arrivals are reported for all callers at once, and kept for each.
  const kept = new Map<string, number[]>();
  let appId = 0;

  async function arrivalsAt(path: string): Promise<readonly number[]> {
    for (const [each, reported] of Object.entries(await server.ask(moments, 'report')))
      kept.set(each, (kept.get(each) ?? []).concat(reported));
    const taken = kept.get(path) ?? [];
    kept.delete(path);
    return taken;
  }

  return {
    async openRedis() {
      const redis = await startRedis({ say: (sentence) => process.stderr.write(`${sentence}\n`) });
      closers.push(() => redis.stop());
      return redis;
    },

    async start(contender, redis, there, back) {
      appId += 1;
      const mine = appId;
      const origin = await server.ask(z.string(), 'open', { there, back });
      const limit = {
        redisUrl: redis.url,
        appId: mine,
        callsPerSecond: configured,
        callers: callersInProcess,
      };
      const callers = await startCallers(processes, { contender, origin, path: `/${mine}`, ...limit });
      closers.push(() => callers.end());
      return { callers, redis, appId: mine };
    },

    async measure(run, { settleMs, ms, disturb }) {
      const { callers } = run;
      await callers.start();
      await sleep(settleMs);
      const before = await callers.report();
      const from = epochNow();
      await sleep(ms / 2);
      await disturb?.(run);
      await sleep(ms / 2);
      const to = epochNow();
      const after = await callers.report();
      await callers.stop();
      const sent = [...before.sent, ...after.sent, ...(await callers.report()).sent];
      const arrived = await arrivalsAt(callers.path);
      return {
        perSecond: ratePerSecond(sent, from, to),
        slidingMaxSent: worstSecond(sent),
        slidingMaxArrived: worstSecond(arrived),
        redisCallsPerSecond: ((after.redisCalls - before.redisCalls) / (to - from)) * 1000,
        longestGapMs: longestGapMs(arrived),
      };
    },

    async close() {
      for (const close of closers.splice(0).reverse()) await close();
    },
  };
}
