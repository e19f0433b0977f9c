import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { defaultCallsPerSecond } from '../../src/config/values.ts';
import { sweepAbandonedFolders } from '../../src/local-servers/owned-folder.ts';
import { type LocalRedis, startRedis } from '../../src/local-servers/redis.ts';
import { startHelper } from '../support/helper-process.ts';
import { longestGapMs, ratePerSecond, worstSecond } from '../support/sliding-second.ts';
import type { Latency } from './distance.ts';
import { startTeam, type Team } from './team.ts';
import type { WayName } from './way.ts';

/** What came of one measurement. */
export interface LimiterFigures {
  readonly perSecond: number;
  readonly slidingMaxSent: number;
  readonly slidingMaxArrived: number;
  readonly redisCallsPerSecond: number;
  /** The longest time in which nothing arrived. */
  readonly longestGapMs: number;
}

/** A team, the Redis it shares and the app it calls for. */
export interface Cast {
  readonly team: Team;
  readonly redis: LocalRedis;
  readonly appId: number;
}

export interface Measurement {
  readonly settleMs: number;
  readonly ms: number;
  /** What happens in the middle of it. */
  readonly disturb?: ((cast: Cast) => Promise<void>) | undefined;
}

/** The server that is called, and whatever calls it. */
export interface Stage {
  openRedis(): Promise<LocalRedis>;
  /** Three processes of a hundred callers each, at the distance given. */
  cast(way: WayName, redis: LocalRedis, there: Latency, back: Latency): Promise<Cast>;
  /** Has a team call, and counts the calls as they are sent and as they arrive. */
  measure(cast: Cast, measurement: Measurement): Promise<LimiterFigures>;
  close(): Promise<void>;
}

/** The default of `TIM_CALLS_PER_SECOND`. */
export const configured = defaultCallsPerSecond;
const processes = 3;
const callers = 100;

const moments = z.record(z.string(), z.array(z.number()));

const epochNow = () => performance.timeOrigin + performance.now();

/** Starts the server. */
export async function openStage(): Promise<Stage> {
  await sweepAbandonedFolders();
  const server = startHelper(new URL('server-process.ts', import.meta.url));
  const closers: (() => Promise<unknown>)[] = [() => server.end()];
  // What has arrived is told of all teams at once, and kept for each.
  const kept = new Map<string, number[]>();
  let appId = 0;

  async function arrivalsAt(path: string): Promise<readonly number[]> {
    for (const [each, told] of Object.entries(await server.ask(moments, 'report')))
      kept.set(each, (kept.get(each) ?? []).concat(told));
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

    async cast(way, redis, there, back) {
      appId += 1;
      const mine = appId;
      const origin = await server.ask(z.string(), 'open', { there, back });
      const limit = { redisUrl: redis.url, appId: mine, callsPerSecond: configured, callers };
      const team = await startTeam(processes, { way, origin, path: `/${mine}`, ...limit });
      closers.push(() => team.end());
      return { team, redis, appId: mine };
    },

    async measure(cast, { settleMs, ms, disturb }) {
      const { team } = cast;
      await team.start();
      await sleep(settleMs);
      const before = await team.report();
      const from = epochNow();
      await sleep(ms / 2);
      await disturb?.(cast);
      await sleep(ms / 2);
      const to = epochNow();
      const after = await team.report();
      await team.stop();
      const sent = [...before.sent, ...after.sent, ...(await team.report()).sent];
      const arrived = await arrivalsAt(team.path);
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
