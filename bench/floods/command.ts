import { Command } from 'commander';
import { createProgress } from '../../src/terminal/progress.ts';
import { formatFigure, formatGoals, formatTable, type Goal, judgeGoals } from '../support/report.ts';
import { type FloodsFigures, type FloodsScale, runFloods } from './run-floods.ts';

interface FloodsOptions {
  readonly quick?: boolean;
  readonly json?: boolean;
}

const full: FloodsScale = { accounts: 4000, rounds: 3, ms: 10_000 };
const quick: FloodsScale = { accounts: 2000, rounds: 1, ms: 6000 };

/** `bench floods`: whether requests without a token take calls from polling, or keep a probe waiting. */
export function floodsCommand(): Command {
  return new Command('floods')
    .description('polling at the limit while unauthenticated clients flood the HTTP server')
    .option('--quick', 'short stretches')
    .option('--json', 'one JSON object as the last line')
    .action(measureFloods);
}

async function measureFloods(options: FloodsOptions): Promise<void> {
  const progress = createProgress('floods', 100);
  const figures = await runFloods(options.quick === true ? quick : full, (share, what) =>
    progress.update(Math.round(share * 100), what),
  ).finally(() => progress.stop());
  const goals = goalsOf(figures);
  process.stdout.write(`${formatFloods(figures)}\n\n${formatGoals(goals)}\n`);
  if (options.json === true)
    process.stdout.write(`${JSON.stringify({ bench: 'floods', ...figures, goals: judgeGoals(goals) })}\n`);
}

function goalsOf({ floods }: FloodsFigures): readonly Goal[] {
  return floods.flatMap(({ flood, besideIt, atDaemon, livezMs }): readonly Goal[] => [
    {
      figure: `${flood}: calls, of those while a trivial server is flooded`,
      value: atDaemon / besideIt,
      sense: '≥',
      limit: 0.9,
    },
    { figure: `${flood}: ms until /livez answers, at most`, value: livezMs, sense: '≤', limit: 5000 },
  ]);
}

function formatFloods({ quiet, floods }: FloodsFigures): string {
  return [
    `${formatFigure(quiet)} calls/s without a flood`,
    formatTable([
      ['flood', 'calls/s, trivial server flooded', 'calls/s, daemon flooded', 'answers/s', '/livez ms'],
      ...floods.map(({ flood, besideIt, atDaemon, answersPerSecond, livezMs }) => [
        flood,
        ...[besideIt, atDaemon, answersPerSecond, livezMs].map(formatFigure),
      ]),
    ]),
  ].join('\n');
}
