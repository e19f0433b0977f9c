import { Command } from 'commander';
import { count } from '../../src/terminal/numbers.ts';
import { createProgress } from '../../src/terminal/progress.ts';
import { formatFigure, formatGoals, formatTable, type Goal, judgeGoals } from '../support/report.ts';
import type { Reading } from './meters.ts';
import { type Contender, type EngineFigures, type EngineScale, runEngine } from './run-engine.ts';

interface EngineOptions {
  readonly quick?: boolean;
  readonly json?: boolean;
}

const full: EngineScale = {
  accounts: 20_000,
  rounds: 5,
  settleMs: 1000,
  windowMs: 4000,
  ownWindowMs: 4000,
  costMs: 10_000,
};
const quick: EngineScale = {
  accounts: 20_000,
  rounds: 3,
  settleMs: 400,
  windowMs: 700,
  ownWindowMs: 2000,
  costMs: 2000,
};

/** `bench engine`: how fast the daemon is with the limit lifted, and what a poll costs. */
export function engineCommand(): Command {
  return new Command('engine')
    .description(
      'polls a second with the limit lifted, and what each costs; beside a bare loop and two other ways',
    )
    .option('--quick', 'three rounds and short windows')
    .option('--json', 'one JSON object as the last line')
    .action(engine);
}

async function engine(options: EngineOptions): Promise<void> {
  const scale = options.quick === true ? quick : full;
  const progress = createProgress('engine', 100);
  const figures = await runEngine(scale, (share, what) =>
    progress.update(Math.round(share * 100), what),
  ).finally(() => progress.stop());
  const summary = summarise(figures);
  process.stdout.write(`${formatEngine(scale, figures, summary)}\n`);
  if (options.json === true)
    process.stdout.write(
      `${JSON.stringify({ bench: 'engine', accounts: scale.accounts, ...summary, goals: judgeGoals(goalsOf(summary)) })}\n`,
    );
}

type Summary = ReturnType<typeof summarise>;

/** What the goals are about, a poll at a time. */
function summarise(figures: EngineFigures) {
  const { ours, peers, unchanged, quarterChanged, atLimit } = figures;
  const cpuMsPerUnchangedPoll = unchanged.daemonCpuMs / unchanged.polls;
  return {
    pollsPerSecond: ours.pollsPerSecond,
    barePollsPerSecond: peers.bare.pollsPerSecond,
    ratioToBare: figures.ratioToBare,
    ratioToBaseline: figures.ratioToBaseline,
    cpuMsPerUnchangedPoll,
    cpuMsPerChangedPoll: perChanged(quarterChanged, cpuMsPerUnchangedPoll),
    bareCpuMsPerPoll: peers.bare.cpuMsPerPoll,
    pgCpuMsPerPoll: unchanged.postgresCpuMs / unchanged.polls,
    redisCpuMsPerPoll: unchanged.redisCpuMs / unchanged.polls,
    vendorCpuMsPerPoll: unchanged.vendorCpuMs / unchanged.polls,
    walBytesPerUnchangedPoll: unchanged.walBytes / unchanged.polls,
    mirrorWritesUnchanged: unchanged.mirrorWrites,
    redisCommandsPerPoll: unchanged.redisCommands / unchanged.polls,
    statementsPerPoll: unchanged.statements / unchanged.polls,
    atLimit: costs(atLimit),
    lifted: costs(unchanged),
    rssMb: figures.usage.rssMb,
    peakRssMb: figures.usage.maxRssMb,
    baselines: peers,
  };
}

/** What is left when the unchanged polls have been paid for. */
function perChanged(reading: Reading, cpuMsPerUnchangedPoll: number): number {
  const unchangedPolls = reading.polls - reading.changed;
  return (reading.daemonCpuMs - unchangedPolls * cpuMsPerUnchangedPoll) / reading.changed;
}

function costs(reading: Reading) {
  return {
    pollsPerSecond: (reading.polls / reading.ms) * 1000,
    daemonCpuMs: reading.daemonCpuMs / reading.polls,
    postgresCpuMs: reading.postgresCpuMs / reading.polls,
    redisCpuMs: reading.redisCpuMs / reading.polls,
    walBytes: reading.walBytes / reading.polls,
    statements: reading.statements / reading.polls,
    redisCommands: reading.redisCommands / reading.polls,
  };
}

function formatEngine(scale: EngineScale, figures: EngineFigures, summary: Summary): string {
  const { ours, peers } = figures;
  const line = (title: string, { pollsPerSecond, cpuMsPerPoll }: Contender) => [
    title,
    formatFigure(pollsPerSecond),
    formatFigure(cpuMsPerPoll),
  ];
  const contenders = formatTable([
    ['1 % changed, the limit lifted', 'polls/s', 'CPU ms of its process a poll'],
    line('tim-mirror', ours),
    line('(a) bare undici loop, nothing stored', peers.bare),
    line('(b) p-queue, upserts, delete-not-in', peers.baseline),
    line('(c) one BullMQ job an account', peers.jobPerAccount),
  ]);
  const parts = Object.keys(summary.lifted);
  const poll = formatTable([
    ['of one unchanged poll', ...parts],
    ['the limit lifted', ...Object.values(summary.lifted).map(formatFigure)],
    ['at 190 calls a second', ...Object.values(summary.atLimit).map(formatFigure)],
  ]);
  return [
    `${count(scale.accounts)} accounts, medians of ${scale.rounds} rounds`,
    contenders,
    '',
    poll,
    `a changed poll: ${formatFigure(summary.cpuMsPerChangedPoll)} ms of the daemon's CPU; memory ${formatFigure(summary.rssMb)} MB`,
    '',
    formatGoals(goalsOf(summary)),
  ].join('\n');
}

function goalsOf(summary: Summary): readonly Goal[] {
  return [
    { figure: 'polls/s', value: summary.pollsPerSecond, sense: '≥', limit: 3000 },
    { figure: 'share of the bare loop', value: summary.ratioToBare, sense: '≥', limit: 0.6 },
    { figure: 'times as fast as (b)', value: summary.ratioToBaseline, sense: '≥', limit: 5 },
    {
      figure: 'CPU ms of the daemon an unchanged poll',
      value: summary.cpuMsPerUnchangedPoll,
      sense: '≤',
      limit: 0.2,
    },
    {
      figure: 'bytes of WAL an unchanged poll',
      value: summary.walBytesPerUnchangedPoll,
      sense: '≤',
      limit: 300,
    },
    {
      figure: 'Redis commands an unchanged poll',
      value: summary.redisCommandsPerPoll,
      sense: '≤',
      limit: 0.5,
    },
    { figure: 'the same at 190 a second', value: summary.atLimit.redisCommands, sense: '≤', limit: 0.5 },
    { figure: 'statements an unchanged poll', value: summary.statementsPerPoll, sense: '≤', limit: 0.05 },
    {
      figure: 'writes to the mirror while nothing changes',
      value: summary.mirrorWritesUnchanged,
      sense: '≤',
      limit: 0,
    },
  ];
}
