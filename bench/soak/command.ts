import { Command } from 'commander';
import { count } from '../../src/terminal/numbers.ts';
import { createProgress } from '../../src/terminal/progress.ts';
import { formatFigure, formatGoals, formatTable, type Goal, judgeGoals } from '../support/report.ts';
import { limit, runSoak, type SoakResult, type Watched, watched } from './run-soak.ts';

interface SoakOptions {
  readonly quick?: boolean;
  readonly json?: boolean;
  readonly minutes: string;
}

const accounts = 20_000;

const titles: Readonly<Record<Watched, string>> = {
  rssMb: 'memory of the daemon, MB',
  heapMb: 'of it JavaScript’s, MB',
  connections: 'connections to Postgres and Redis',
  stateTableMb: 'polling state, MB',
  stateIndexMb: 'its indexes, MB',
  redisMb: 'memory of Redis, MB',
  historyMb: 'groups, members and feed, MB (they grow)',
};

/** What an hour may add. */
const mostPerHour: Readonly<Partial<Record<Watched, number>>> = {
  rssMb: 20,
  heapMb: 5,
  connections: 0.5,
  stateTableMb: 1,
  stateIndexMb: 1,
  redisMb: 2,
};

/** `bench soak`: whether an hour at the limit leaves everything as large as it was. */
export function soakCommand(): Command {
  return new Command('soak')
    .description('an hour at the limit with 1 % changes: what memory, connections, table and indexes grow by')
    .option('--minutes <n>', 'this long instead', '60')
    .option('--quick', 'not for this one: it says so and ends')
    .option('--json', 'one JSON object as the last line')
    .action(soak);
}

async function soak(options: SoakOptions): Promise<void> {
  if (options.quick === true)
    throw new RangeError('There is no quick soak; `--minutes 5` is the shortest that shows anything.');
  const minutes = Number(options.minutes);
  if (!(minutes > 0)) throw new RangeError('Minutes must be a number above 0.');
  const progress = createProgress('soak', 1000);
  const result = await runSoak({ accounts, minutes }, (share, what) =>
    progress.update(Math.round(share * 1000), what),
  ).finally(() => progress.stop());
  const goals = goalsOf(result);
  process.stdout.write(`${formatSoak(result)}\n\n${formatGoals(goals)}\n`);
  if (options.json === true)
    process.stdout.write(
      `${JSON.stringify({ bench: 'soak', accounts, ...result, goals: judgeGoals(goals) })}\n`,
    );
}

function goalsOf({ slopes }: SoakResult): readonly Goal[] {
  return watched.flatMap((name) => {
    const most = mostPerHour[name];
    return most === undefined
      ? []
      : [
          {
            figure: `${titles[name]}, an hour`,
            value: slopes[name].perHour,
            sense: '≤' as const,
            limit: most,
          },
        ];
  });
}

function formatSoak({ minutes, callsPerSecond, worstSecond, slopes }: SoakResult): string {
  return [
    `${count(accounts)} accounts for ${minutes} minutes: ${callsPerSecond.toFixed(1)} of ${limit} calls a second, ${worstSecond} in the worst`,
    formatTable([
      ['', 'first', 'last', 'an hour adds'],
      ...watched.map((name) => [
        titles[name],
        formatFigure(slopes[name].first),
        formatFigure(slopes[name].last),
        formatFigure(slopes[name].perHour),
      ]),
    ]),
  ].join('\n');
}
