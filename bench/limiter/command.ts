import { Command } from 'commander';
import { createProgress } from '../../src/terminal/progress.ts';
import { formatFigure, formatGoals, formatTable, type Goal, judgeGoals } from '../support/report.ts';
import { configured, type LimiterFigures } from './harness.ts';
import { type LimiterResult, type LimiterScale, runLimiter } from './run-limiter.ts';

interface LimiterOptions {
  readonly quick?: boolean;
  readonly json?: boolean;
}

const full: LimiterScale = { rounds: 3, ownMs: 20_000, peerMs: 10_000, scenarioMs: 20_000 };
const quick: LimiterScale = { rounds: 1, ownMs: 5000, peerMs: 2000, scenarioMs: 4000 };

/** Of the vendor's, in any second. */
const vendorLimit = 200;

const titles: Readonly<Record<string, string>> = {
  bullmq: 'BullMQ’s limiter',
  rateLimiterFlexible: 'rate-limiter-flexible and its queue',
  bottleneck: 'bottleneck, minTime',
  retryingBucket: 'token bucket, the refused try again',
  keyDeleted: 'ours, its key deleted',
  redisRestarted: 'ours, Redis restarted empty',
  processKilled: 'ours, one of three processes killed and replaced',
  allLatencyOnTheWayThere: 'ours, all the latency on the way there',
};

/** `bench limiter`: how much of the limit is used, and how well it is kept, as calls are sent and as they arrive. */
export function limiterCommand(): Command {
  return new Command('limiter')
    .description(
      'three processes of 100 callers under one limit, behind a round trip of 20 to 150 ms; also when things go wrong; beside four other limiters',
    )
    .option('--quick', 'a few seconds each')
    .option('--json', 'one JSON object as the last line')
    .action(limiter);
}

async function limiter(options: LimiterOptions): Promise<void> {
  const scale = options.quick === true ? quick : full;
  const progress = createProgress('limiter', 100);
  const result = await runLimiter(scale, (share, what) =>
    progress.update(Math.round(share * 100), what),
  ).finally(() => progress.stop());
  const goals = goalsOf(result);
  process.stdout.write(`${formatLimiter(scale, result)}\n\n${formatGoals(goals)}\n`);
  if (options.json === true) process.stdout.write(`${JSON.stringify(summarise(result, goals))}\n`);
}

/** The JSON of the bench. */
export function summarise(result: LimiterResult, goals: readonly Goal[]) {
  const { ours, peers, scenarios } = result;
  return { bench: 'limiter', configured, ...ours, peers, scenarios, goals: judgeGoals(goals) };
}

/** What our bucket promises. */
export function goalsOf({ ours, scenarios }: LimiterResult): readonly Goal[] {
  const disturbed = ['keyDeleted', 'redisRestarted', 'processKilled'];
  const worst = Math.max(...disturbed.map((name) => scenarios[name]?.slidingMaxArrived ?? Number.NaN));
  return [
    { figure: 'share of the configured rate', value: ours.perSecond / configured, sense: '≥', limit: 0.99 },
    {
      figure: 'most in a second, on arrival',
      value: ours.slidingMaxArrived,
      sense: '≤',
      limit: vendorLimit,
    },
    {
      figure: 'the same when things go wrong',
      value: worst,
      sense: '≤',
      limit: vendorLimit,
    },
    { figure: 'Redis calls a second', value: ours.redisCallsPerSecond, sense: '≤', limit: 50 },
  ];
}

function formatLimiter(scale: LimiterScale, { ours, peers, scenarios }: LimiterResult): string {
  const line = (title: string, figures: LimiterFigures) => [
    title,
    figures.perSecond.toFixed(1),
    String(figures.slidingMaxSent),
    String(figures.slidingMaxArrived),
    formatFigure(figures.redisCallsPerSecond),
    formatFigure(figures.longestGapMs),
  ];
  const titled = (figures: Readonly<Record<string, LimiterFigures>>) =>
    Object.entries(figures).map(([name, each]) => line(titles[name] ?? name, each));
  return [
    `3 processes of 100 callers at ${configured} calls a second, ${scale.ownMs / 1000} s in each of ${scale.rounds} rounds`,
    formatTable([
      ['', 'calls/s', 'most in 1 s: sent', 'arrived', 'Redis calls/s', 'longest gap, ms'],
      line('tim-mirror', ours),
      ...titled(peers),
      ...titled(scenarios),
    ]),
  ].join('\n');
}
