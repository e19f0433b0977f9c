import { Command } from 'commander';
import { count } from '../../src/terminal/numbers.ts';
import { createProgress } from '../../src/terminal/progress.ts';
import { formatFigure, formatGoals, formatTable, type Goal, judgeGoals } from '../support/report.ts';
import { type DaemonFigures, rate, runStack, type StackFigures, type StackScale } from './run-stack.ts';

interface StackOptions {
  readonly quick?: boolean;
  readonly json?: boolean;
}

const full: StackScale = { accounts: 20_000, warmUpMs: 10_000, ms: 120_000 };
const quick: StackScale = { accounts: 20_000, warmUpMs: 5000, ms: 20_000 };

/** Of the vendor's, in any second. */
const vendorLimit = 200;

/** `bench stack`: how much of the limit three daemons use with all that they need beside them, and why not all of it. */
export function stackCommand(): Command {
  return new Command('stack')
    .description(
      'three daemons, Postgres, Redis and a vendor that takes 20 to 150 ms: how much of the limit arrives, and what makes calls late',
    )
    .option('--quick', '20 seconds instead of two minutes')
    .option('--json', 'one JSON object as the last line')
    .action(stack);
}

async function stack(options: StackOptions): Promise<void> {
  const scale = options.quick === true ? quick : full;
  const progress = createProgress('stack', 100);
  const figures = await runStack(scale, (share, what) =>
    progress.update(Math.round(share * 100), what),
  ).finally(() => progress.stop());
  const goals = goalsOf(figures);
  process.stdout.write(`${formatStack(scale, figures)}\n\n${formatGoals(goals)}\n`);
  if (options.json === true)
    process.stdout.write(
      `${JSON.stringify({ bench: 'stack', accounts: scale.accounts, ...figures, goals: judgeGoals(goals) })}\n`,
    );
}

function goalsOf({ shareOfRate, worstSecond }: StackFigures): readonly Goal[] {
  return [
    { figure: 'share of the configured rate', value: shareOfRate, sense: '≥', limit: 0.97 },
    { figure: 'most that arrived in a second', value: worstSecond, sense: '≤', limit: vendorLimit },
  ];
}

function formatStack(
  scale: StackScale,
  { callsPerSecond, worstSecond, daemons, busy }: StackFigures,
): string {
  const row = (title: string, read: (daemon: DaemonFigures) => number) => [
    title,
    ...daemons.map((daemon) => formatFigure(read(daemon))),
  ];
  const later = Object.keys(daemons[0]?.laterThan ?? {});
  return [
    `${count(scale.accounts)} accounts, three daemons for ${scale.ms / 1000} s: ${callsPerSecond.toFixed(1)} of ${rate} calls a second arrived, ${worstSecond} in the worst`,
    `processors kept busy: daemons ${formatFigure(busy.daemons)}, Postgres ${formatFigure(busy.postgres)}, vendor ${formatFigure(busy.vendor)}`,
    formatTable([
      ['of each daemon', ...daemons.map((_, index) => String(index + 1))],
      row('calls a second', (daemon) => daemon.callsPerSecond),
      row('slots lost a second', (daemon) => daemon.missedPerSecond),
      ...later.map((ms) =>
        row(`slots later than ${ms} ms, %`, (daemon) => (daemon.laterThan[ms] ?? 0) * 100),
      ),
      row('event loop late, p99, ms', (daemon) => daemon.loopP99Ms),
      row('event loop late, longest, ms', (daemon) => daemon.loopMaxMs),
      row('collecting garbage, % of the time', (daemon) => (daemon.gcMs / scale.ms) * 100),
      row('longest collection, ms', (daemon) => daemon.gcMaxMs),
      row('JSON, % of the time', (daemon) => (daemon.jsonMs / scale.ms) * 100),
      row('longest piece of JSON, ms', (daemon) => daemon.jsonMaxMs),
      row('running, % of the time', (daemon) => (daemon.ranMs / scale.ms) * 100),
      row('waiting for a processor, % of the time', (daemon) => (daemon.awaitingCpuMs / scale.ms) * 100),
    ]),
  ].join('\n');
}
