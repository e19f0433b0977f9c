import { totalmem } from 'node:os';
import { Command } from 'commander';
import { sweepAbandonedFolders } from '../../dev/local-servers/owned-folder.ts';
import { startPostgres } from '../../dev/local-servers/postgres.ts';
import { defaultCallsPerSecond } from '../../src/config/values.ts';
import { count } from '../../src/terminal/numbers.ts';
import { createProgress } from '../../src/terminal/progress.ts';
import { judgeGoals } from '../support/report.ts';
import { median } from '../support/statistics.ts';
import { createQueueDatabase, type QueueDatabase } from './queue-database.ts';

interface ClaimOptions {
  readonly quick?: boolean;
  readonly json?: boolean;
}

interface Figures {
  readonly rows: number;
  /** Milliseconds for a second of the full budget: 190 accounts claimed and recorded. Median. */
  readonly msPerBatch: number;
  /** Milliseconds of the count that comes once a minute. Median. */
  readonly countMs: number;
  readonly bytesPerAccount: number;
}

/** A second of the full budget. */
const polls = defaultCallsPerSecond;
const rounds = 40;
/** What one tick claims at most. */
const churnAtOnce = 576;
/** A quarter of the machine's memory, as PostgreSQL's manual advises, so that accounts and their state fit. */
const sharedBuffersMb = Math.floor(totalmem() / 4 / 2 ** 20);
/** How much slower a batch may be at the largest size than at the smallest. */
const target = 1.3;

/** `bench claim`: what claiming and recording cost as the number of accounts grows. */
export function claimCommand(): Command {
  return new Command('claim')
    .description('claiming and recording a second of the full budget, from 10,000 accounts to ten million')
    .option('--quick', '10,000 to 300,000 accounts, with a minute of churn instead of an hour')
    .option('--json', 'one JSON object as the last line')
    .action(claim);
}

async function claim(options: ClaimOptions): Promise<void> {
  const quick = options.quick === true;
  const sizes = quick ? [10_000, 100_000, 300_000] : [10_000, 100_000, 1_000_000, 10_000_000];
  const churn = polls * (quick ? 60 : 3600);
  await sweepAbandonedFolders();
  const postgres = await startPostgres({ durable: false, sharedBuffersMb });
  const databases: QueueDatabase[] = [];
  try {
    for (const rows of sizes) {
      const progress = createProgress('claim', rows + churn);
      const note = `${count(rows)} accounts`;
      const database = await createQueueDatabase(postgres, rows, (done) => progress.update(done, note));
      databases.push(database);
      for (let done = 0; done < churn; done += churnAtOnce) {
        await database.work(churnAtOnce);
        progress.update(rows + done, `${note}, ${count(done)} polls`);
      }
      progress.stop();
    }
    report(await measure(databases), options.json === true);
  } finally {
    for (const database of databases) await database.close();
    await postgres.stop();
  }
}

/** The sizes in turn, so that the machine's moods hit all of them alike. */
async function measure(databases: readonly QueueDatabase[]): Promise<readonly Figures[]> {
  const times = databases.map(() => ({ batch: [] as number[], count: [] as number[] }));
  for (let round = 0; round < rounds; round += 1) {
    for (const [index, database] of databases.entries()) {
      times[index]?.batch.push(await timed(() => database.work(polls)));
      if (round % 4 === 0) times[index]?.count.push(await timed(() => database.count()));
    }
  }
  return Promise.all(
    databases.map(async (database, index) => ({
      rows: database.rows,
      msPerBatch: median(times[index]?.batch ?? []),
      countMs: median(times[index]?.count ?? []),
      bytesPerAccount: await database.bytesPerAccount(),
    })),
  );
}

function report(figures: readonly Figures[], json: boolean): void {
  const ratio = (figures.at(-1)?.msPerBatch ?? 0) / (figures[0]?.msPerBatch ?? 1);
  const rows = figures.map(({ rows: accounts, msPerBatch, countMs, bytesPerAccount }) =>
    [
      count(accounts),
      `${msPerBatch.toFixed(1)} ms`,
      `${countMs.toFixed(1)} ms`,
      `${bytesPerAccount.toFixed(0)} B`,
    ]
      .map((cell) => cell.padStart(18))
      .join(''),
  );
  const header = ['accounts', 'a second of polls', 'count', 'an account takes']
    .map((cell) => cell.padStart(18))
    .join('');
  process.stdout.write(
    `${[header, ...rows].join('\n')}\nThe largest takes ${ratio.toFixed(2)} times as long as the smallest; the goal is ${target} at most.\n`,
  );
  const goals = judgeGoals([{ figure: 'largest beside smallest', value: ratio, sense: '≤', limit: target }]);
  if (json)
    process.stdout.write(`${JSON.stringify({ bench: 'claim', sizes: figures, ratio, target, goals })}\n`);
}

async function timed(work: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}
