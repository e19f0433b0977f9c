import { writeFileSync } from 'node:fs';
import { Command } from 'commander';
import { createProgress } from '../../src/terminal/progress.ts';
import { drawChart } from './chart.ts';
import { formatTable } from './report.ts';
import { allRowNames, runRows } from './run-rows.ts';

interface FreshnessOptions {
  readonly quick?: boolean;
  readonly json?: boolean;
  readonly seed: string;
  readonly row?: readonly string[];
  readonly svg?: string;
}

/** `bench freshness`: how fresh each policy keeps a simulated population. */
export function freshnessCommand(): Command {
  return new Command('freshness')
    .description(
      'delay of changes by polling policy, simulated: the production policy against others and an oracle',
    )
    .option(
      '--quick',
      '20,000 accounts instead of 200,000, and 1,000 instead of 10,000 in rows with sessions',
    )
    .option('--json', 'one JSON object as the last line')
    .option('--seed <n>', 'seed of its chance', '1')
    .option('--row <name...>', `these rows only: ${allRowNames.join(', ')}`)
    .option('--svg <file>', 'also draw the delays by policy into this file')
    .action(freshness);
}

async function freshness(options: FreshnessOptions): Promise<void> {
  const rows = options.row ?? allRowNames;
  const unknown = rows.find((row) => !allRowNames.includes(row));
  if (unknown !== undefined)
    throw new RangeError(`There is no row ${unknown}; rows are ${allRowNames.join(', ')}.`);
  if (!/^\d+$/.test(options.seed)) throw new RangeError('The seed must be a whole number.');
  const accounts = options.quick === true ? 20_000 : 200_000;
  const presenceAccounts = options.quick === true ? 1000 : 10_000;
  const progress = createProgress('freshness', 1000);
  const startedAt = performance.now();
  const table = await runRows({
    accounts,
    presenceAccounts,
    seed: Number(options.seed),
    rows,
    onProgress: (done, total, note) => progress.update(Math.round((1000 * done) / total), note),
  });
  progress.stop();
  const seconds = (performance.now() - startedAt) / 1000;
  if (options.svg !== undefined) writeFileSync(options.svg, drawChart(table.rows));
  if (options.json === true) {
    process.stdout.write(
      `${JSON.stringify({ bench: 'freshness', accounts, presenceAccounts, seconds, unit: 'seconds', scenarios: table.rows, presence: table.presence })}\n`,
    );
    return;
  }
  process.stdout.write(`${formatTable(table)}\nThis took ${seconds.toFixed(0)} s.\n`);
}
