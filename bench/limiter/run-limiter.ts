import { Redis } from 'ioredis';
import { bucketKey } from '../../src/limiter/redis-slots.ts';
import { median } from '../support/statistics.ts';
import type { Latency } from './distance.ts';
import { type Cast, type LimiterFigures, openStage, type Stage } from './stage.ts';
import { type WayName, wayNames } from './way.ts';

/** How long, and how often. */
export interface LimiterScale {
  readonly rounds: number;
  /** Of ours, and of each other way, in each round. */
  readonly ownMs: number;
  readonly peerMs: number;
  /** Of each thing that goes wrong, which happens in the middle of it. */
  readonly scenarioMs: number;
}

/** Rates are medians over the rounds; what should not be exceeded is the worst of all rounds. */
export interface LimiterResult {
  readonly ours: LimiterFigures;
  readonly peers: Readonly<Record<string, LimiterFigures>>;
  /** Ours, when something goes wrong, and over a way that varies by all the latency there is. */
  readonly scenarios: Readonly<Record<string, LimiterFigures>>;
}

/** A round trip of 20 to 150 ms, half of it on the way there. */
const half: Latency = { least: 10, most: 75 };
const whole: Latency = { least: 20, most: 150 };
const none: Latency = { least: 0, most: 0 };
/** Until those that begin have got into their stride; ours is silent for the first second. */
const settleMs = 600;
const silentSettleMs = 1600;

interface Scenario {
  readonly name: string;
  readonly longWay?: boolean;
  readonly disturb?: (cast: Cast) => Promise<void>;
}

const scenarios: readonly Scenario[] = [
  {
    name: 'keyDeleted',
    async disturb({ redis: server, appId }) {
      const redis = new Redis(server.url);
      await redis.del(bucketKey(appId));
      redis.disconnect();
    },
  },
  {
    name: 'redisRestarted',
    async disturb({ redis }) {
      await redis.crash();
      await redis.revive();
    },
  },
  { name: 'processKilled', disturb: ({ team }) => team.replaceOne() },
  { name: 'allLatencyOnTheWayThere', longWay: true },
];

/** Measures our bucket and others in turn, and then all at once what ours does when something goes wrong. */
export async function runLimiter(
  scale: LimiterScale,
  onStep: (share: number, what: string) => void,
): Promise<LimiterResult> {
  onStep(0, 'starting servers');
  const stage = await openStage();
  try {
    const ways = await compare(stage, scale, (share, what) => onStep(0.1 + 0.7 * share, what));
    onStep(0.8, 'things go wrong');
    const worst = await Promise.all(
      scenarios.map(async ({ name, longWay, disturb }) => {
        const cast = await stage.cast(
          'ours',
          await stage.openRedis(),
          longWay === true ? whole : half,
          longWay === true ? none : half,
        );
        const measurement = { settleMs: silentSettleMs, ms: scale.scenarioMs, disturb };
        return [name, await stage.measure(cast, measurement)] as const;
      }),
    );
    const { ours, ...peers } = ways;
    return { ours, peers, scenarios: Object.fromEntries(worst) };
  } finally {
    await stage.close();
  }
}

async function compare(
  stage: Stage,
  scale: LimiterScale,
  onStep: (share: number, what: string) => void,
): Promise<Record<WayName, LimiterFigures>> {
  const redis = await stage.openRedis();
  const casts = await Promise.all(
    wayNames.map(async (way) => ({ way, cast: await stage.cast(way, redis, half, half) })),
  );
  const rounds: Record<WayName, LimiterFigures[]> = {
    ours: [],
    bullmq: [],
    rateLimiterFlexible: [],
    bottleneck: [],
    retryingBucket: [],
  };
  for (let round = 0; round < scale.rounds; round += 1) {
    for (const [index, { way, cast }] of casts.entries()) {
      onStep((round + index / casts.length) / scale.rounds, `round ${round + 1} of ${scale.rounds}, ${way}`);
      const measurement =
        way === 'ours' ? { settleMs: silentSettleMs, ms: scale.ownMs } : { settleMs, ms: scale.peerMs };
      rounds[way].push(await stage.measure(cast, measurement));
    }
  }
  for (const { cast } of casts) await cast.team.end();
  return {
    ours: summarise(rounds.ours),
    bullmq: summarise(rounds.bullmq),
    rateLimiterFlexible: summarise(rounds.rateLimiterFlexible),
    bottleneck: summarise(rounds.bottleneck),
    retryingBucket: summarise(rounds.retryingBucket),
  };
}

function summarise(rounds: readonly LimiterFigures[]): LimiterFigures {
  const middle = (read: (figures: LimiterFigures) => number) => median(rounds.map(read));
  const most = (read: (figures: LimiterFigures) => number) => Math.max(...rounds.map(read));
  return {
    perSecond: middle((figures) => figures.perSecond),
    slidingMaxSent: most((figures) => figures.slidingMaxSent),
    slidingMaxArrived: most((figures) => figures.slidingMaxArrived),
    redisCallsPerSecond: middle((figures) => figures.redisCallsPerSecond),
    longestGapMs: most((figures) => figures.longestGapMs),
  };
}
