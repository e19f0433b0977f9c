import { Command } from 'commander';
import { createProgress } from '../../src/terminal/progress.ts';
import { formatFigure, formatGoals, formatTable, type Goal, judgeGoals } from '../support/report.ts';
import { floodPerSecond, type HintsFigures, type HintsScale, runHints } from './run-hints.ts';

interface HintsOptions {
  readonly quick?: boolean;
  readonly json?: boolean;
}

const full: HintsScale = { accounts: 4000, rounds: 5, ms: 10_000 };
const quick: HintsScale = { accounts: 2000, rounds: 3, ms: 4200 };

/** `bench hints`: whether a flood of callbacks delays polling, waits for its answers, or fills the memory. */
export function hintsCommand(): Command {
  return new Command('hints')
    .description('polling at the limit beside a flood of 5,000 callbacks a second')
    .option('--quick', 'short stretches')
    .option('--json', 'one JSON object as the last line')
    .action(hints);
}

async function hints(options: HintsOptions): Promise<void> {
  const scale = options.quick === true ? quick : full;
  const progress = createProgress('hints', 100);
  const figures = await runHints(scale, (share, what) =>
    progress.update(Math.round(share * 100), what),
  ).finally(() => progress.stop());
  const goals = goalsOf(figures);
  process.stdout.write(`${formatHints(figures)}\n\n${formatGoals(goals)}\n`);
  if (options.json === true)
    process.stdout.write(
      `${JSON.stringify({ bench: 'hints', floodPerSecond, ...figures, goals: judgeGoals(goals) })}\n`,
    );
}

function goalsOf({
  pollsPerSecond,
  unnamedRatio,
  responseMs,
  failed,
  heapMb,
}: HintsFigures): readonly Goal[] {
  const { quiet, flooded } = pollsPerSecond;
  return [
    { figure: 'polls beside the flood, of those without it', value: flooded / quiet, sense: '≥', limit: 0.9 },
    {
      figure: 'polls of accounts that no callback names, of their share',
      value: unnamedRatio,
      sense: '≥',
      limit: 0.88,
    },
    { figure: 'ms until a callback is answered, 99 % under', value: responseMs.p99, sense: '≤', limit: 50 },
    { figure: 'callbacks not answered well', value: failed, sense: '≤', limit: 0 },
    { figure: 'MB of heap that floods leave', value: heapMb.last - heapMb.before, sense: '≤', limit: 20 },
  ];
}

function formatHints(figures: HintsFigures): string {
  const { pollsPerSecond, daemonCpu, responseMs, heapMb } = figures;
  return [
    formatTable([
      ['medians', 'quiet', 'flooded'],
      ['polls/s', formatFigure(pollsPerSecond.quiet), formatFigure(pollsPerSecond.flooded)],
      ['processors the daemon keeps busy', formatFigure(daemonCpu.quiet), formatFigure(daemonCpu.flooded)],
    ]),
    `${formatFigure(figures.callbacksPerSecond)} callbacks/s answered, half within ${formatFigure(responseMs.p50)} ms, 99 % within ${formatFigure(responseMs.p99)} ms, all within ${formatFigure(responseMs.most)} ms`,
    `heap, collected: ${formatFigure(heapMb.before)} MB before, ${formatFigure(heapMb.first)} MB after the first flood, ${formatFigure(heapMb.last)} MB after the last`,
  ].join('\n');
}
