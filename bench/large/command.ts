import { Command } from 'commander';
import { createProgress } from '../../src/terminal/progress.ts';
import { formatFigure, formatGoals, formatTable, type Goal, judgeGoals } from '../support/report.ts';
import { heapMb, type LargeResult, type LargeScale, runLarge } from './run-large.ts';

interface LargeOptions {
  readonly quick?: boolean;
  readonly json?: boolean;
}

const full: LargeScale = { largeAccounts: 400, smallAccounts: 10_000, seconds: 180 };
const quick: LargeScale = { largeAccounts: 50, smallAccounts: 1000, seconds: 45 };
/** What the manifest allows. */
const memoryLimitMb = 768;

/** `bench large`: what accounts as large as may be cost, and whom they hold up. */
export function largeCommand(): Command {
  return new Command('large')
    .description(
      'the first read of 400 accounts of 32 groups with 3,000 members each, among 10,000 small ones, for three minutes',
    )
    .option('--quick', '50 among 1,000, for 45 s')
    .option('--json', 'one JSON object as the last line')
    .action(large);
}

async function large(options: LargeOptions): Promise<void> {
  const scale = options.quick === true ? quick : full;
  const progress = createProgress('large', 100);
  const result = await runLarge(scale, (share, what) =>
    progress.update(Math.round(share * 100), what),
  ).finally(() => progress.stop());
  const goals = goalsOf(result, scale);
  process.stdout.write(`${formatLarge(result, scale)}\n\n${formatGoals(goals)}\n`);
  if (options.json === true)
    process.stdout.write(
      `${JSON.stringify({ bench: 'large', ...scale, ...result, goals: judgeGoals(goals) })}\n`,
    );
}

function goalsOf(result: LargeResult, scale: LargeScale): readonly Goal[] {
  return [
    { figure: 'memory of the daemon, MB', value: result.peakMb, sense: '≤', limit: memoryLimitMb },
    { figure: 'slowest answer of /livez, ms', value: result.livezMs, sense: '≤', limit: 1000 },
    { figure: 'writes refused', value: result.refused, sense: '≤', limit: 0 },
    { figure: 'large accounts written', value: result.writtenLarge, sense: '≥', limit: 1 },
    { figure: 'small accounts left', value: scale.smallAccounts - result.writtenSmall, sense: '≤', limit: 0 },
  ];
}

function formatLarge(result: LargeResult, scale: LargeScale): string {
  const { smallReadSeconds, largeCalls, writtenLarge, seconds } = result;
  return [
    `${scale.largeAccounts} accounts whose answers have ${result.answerMb.toFixed(1)} MB each, and ${scale.smallAccounts} small ones, with a heap of ${heapMb} MB`,
    formatTable([
      ['', ''],
      ['seconds', formatFigure(seconds)],
      ['large accounts written', formatFigure(writtenLarge)],
      ['calls for large accounts', formatFigure(largeCalls)],
      [
        'seconds until all small accounts were read',
        smallReadSeconds === undefined ? '–' : formatFigure(smallReadSeconds),
      ],
      ['memory of the daemon at most, MB', formatFigure(result.peakMb)],
      ['slowest answer of /livez, ms', formatFigure(result.livezMs)],
    ]),
  ].join('\n');
}
