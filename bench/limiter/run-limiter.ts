import { Redis } from 'ioredis';
import { bucketKey } from '../../src/limiter/redis-slots.ts';
import { median } from '../support/statistics.ts';
import { type ContenderName, contenderNames } from './contender.ts';
import { type Harness, type LimiterFigures, openHarness, type Run } from './harness.ts';
import type { Latency } from './latency.ts';

/** How long, and how often. */
export interface LimiterScale {
  readonly rounds: number;
  /** Of ours, and of each other contender, in each round. */
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
  readonly disturb?: (run: Run) => Promise<void>;
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
  { name: 'processKilled', disturb: ({ callers }) => callers.replaceOne() },
  { name: 'allLatencyOnTheWayThere', longWay: true },
];

/** Measures our bucket and others in turn, and then all at once what ours does when something goes wrong. */
export async function runLimiter(
  scale: LimiterScale,
  onStep: (share: number, what: string) => void,
): Promise<LimiterResult> {
  onStep(0, 'starting servers');
  const harness = await openHarness();
  try {
    const contenders = await compare(harness, scale, (share, what) => onStep(0.1 + 0.7 * share, what));
    onStep(0.8, 'things go wrong');
    const worst = await Promise.all(
      scenarios.map(async ({ name, longWay, disturb }) => {
        const run = await harness.start(
          'ours',
          await harness.openRedis(),
          longWay === true ? whole : half,
          longWay === true ? none : half,
        );
        const measurement = { settleMs: silentSettleMs, ms: scale.scenarioMs, disturb };
        return [name, await harness.measure(run, measurement)] as const;
      }),
    );
    const { ours, ...peers } = contenders;
    return { ours, peers, scenarios: Object.fromEntries(worst) };
  } finally {
    await harness.close();
  }
}

async function compare(
  harness: Harness,
  scale: LimiterScale,
  onStep: (share: number, what: string) => void,
): Promise<Record<ContenderName, LimiterFigures>> {
  const redis = await harness.openRedis();
  const runs = await Promise.all(
    contenderNames.map(async (contender) => ({
      contender,
      run: await harness.start(contender, redis, half, half),
    })),
  );
  const rounds: Record<ContenderName, LimiterFigures[]> = {
    ours: [],
    bullmq: [],
    rateLimiterFlexible: [],
    bottleneck: [],
    retryingBucket: [],
  };
  for (let round = 0; round < scale.rounds; round += 1) {
    for (const [index, { contender, run }] of runs.entries()) {
      onStep(
        (round + index / runs.length) / scale.rounds,
        `round ${round + 1} of ${scale.rounds}, ${contender}`,
      );
      const measurement =
        contender === 'ours' ? { settleMs: silentSettleMs, ms: scale.ownMs } : { settleMs, ms: scale.peerMs };
      rounds[contender].push(await harness.measure(run, measurement));
    }
  }
  for (const { run } of runs) await run.callers.end();
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
