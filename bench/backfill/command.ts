import { Command } from 'commander';
import { createProgress } from '../../src/terminal/progress.ts';
import { formatFigure, formatGoals, formatTable, type Goal, judgeGoals } from '../support/report.ts';
import {
  type BackfillResult,
  type BackfillScale,
  type FirstRead,
  limit,
  members,
  runBackfill,
} from './run-backfill.ts';

interface BackfillOptions {
  readonly quick?: boolean;
  readonly json?: boolean;
}

const full: BackfillScale = { liftedAccounts: 20_000, limitedAccounts: 2000 };
const quick: BackfillScale = { liftedAccounts: 3000, limitedAccounts: 2000 };

/** `bench backfill`: how long the first read of everything takes, and what of it is ours. */
export function backfillCommand(): Command {
  return new Command('backfill')
    .description(
      'the first full read of 20,000 accounts of 60 members with the limit lifted, and of 2,000 with it',
    )
    .option('--quick', '3,000 accounts with the limit lifted')
    .option('--json', 'one JSON object as the last line')
    .action(backfill);
}

async function backfill(options: BackfillOptions): Promise<void> {
  const scale = options.quick === true ? quick : full;
  const progress = createProgress('backfill', 100);
  const result = await runBackfill(scale, (share, what) =>
    progress.update(Math.round(share * 100), what),
  ).finally(() => progress.stop());
  const figures = statsOf(result);
  const goals = goalsOf(figures);
  process.stdout.write(`${formatBackfill(result)}\n\n${formatGoals(goals)}\n`);
  if (options.json === true)
    process.stdout.write(
      `${JSON.stringify({ bench: 'backfill', ...figures, ...result, goals: judgeGoals(goals) })}\n`,
    );
}

/** The two figures that have goals. */
export function statsOf({ lifted, limited }: BackfillResult) {
  return {
    /** Members written, the limit lifted. */
    rowsPerSecond: lifted.memberRows / lifted.seconds,
    /** Times as long as the limit alone makes it. */
    ratioToLimit: limited.seconds / (limited.accounts / limit),
  };
}

function goalsOf({ rowsPerSecond, ratioToLimit }: ReturnType<typeof statsOf>): readonly Goal[] {
  return [
    { figure: 'member rows a second, the limit lifted', value: rowsPerSecond, sense: '≥', limit: 10_000 },
    { figure: 'times as long as the limit allows', value: ratioToLimit, sense: '≤', limit: 1.02 },
  ];
}

function formatBackfill({ lifted, limited }: BackfillResult): string {
  const line = (title: string, read: FirstRead) => [
    title,
    formatFigure(read.accounts),
    formatFigure(read.memberRows),
    formatFigure(read.seconds),
    formatFigure(read.accounts / read.seconds),
    formatFigure(read.memberRows / read.seconds),
    formatFigure(read.daemonCpuMsPerAccount),
  ];
  return [
    `the first read of accounts with six groups and ${members} members each`,
    formatTable([
      ['', 'accounts', 'member rows', 'seconds', 'accounts/s', 'rows/s', 'CPU ms of the daemon an account'],
      line('the limit lifted', lifted),
      line(`at ${limit} calls a second`, limited),
    ]),
  ].join('\n');
}
