import { Command } from 'commander';
import { sql } from 'kysely';
import { connect, type Database } from '../../db/client.ts';
import { sweepAbandonedFolders } from '../../dev/local-servers/owned-folder.ts';
import { startPostgres } from '../../dev/local-servers/postgres.ts';
import { defaultCallsPerSecond } from '../../src/config/values.ts';
import { count } from '../../src/terminal/numbers.ts';
import { createProgress } from '../../src/terminal/progress.ts';
import { createQueueDatabase, type QueueDatabase } from '../claim/queue-database.ts';
import { formatFigure, formatTable } from '../support/report.ts';

interface WalOptions {
  readonly quick?: boolean;
  readonly json?: boolean;
}

interface WalFigures {
  readonly compression: string;
  /** Of five minutes at full budget after a checkpoint. */
  readonly bytesPerPoll: number;
  readonly gigabytesPerDay: number;
}

const callsPerSecond = defaultCallsPerSecond;
const checkpointSeconds = 300;
/** What one tick claims at most. */
const atOnce = 576;
/** Not all builds of Postgres know lz4. */
const compressions = ['off', 'pglz'] as const;

/** `bench wal`: what unchanged polls write to Postgres' log, whole pages after a checkpoint included. */
export function walCommand(): Command {
  return new Command('wal')
    .description(
      'bytes of WAL an unchanged poll, of a million accounts, in the five minutes after a checkpoint',
    )
    .option('--quick', '100,000 accounts and half a minute')
    .option('--json', 'one JSON object as the last line')
    .action(wal);
}

async function wal(options: WalOptions): Promise<void> {
  const quick = options.quick === true;
  const accounts = quick ? 100_000 : 1_000_000;
  const polls = callsPerSecond * (quick ? checkpointSeconds / 10 : checkpointSeconds);
  await sweepAbandonedFolders();
  // A server that may not lose anything writes each page whole when it is first touched after a checkpoint.
  const postgres = await startPostgres({ durable: true });
  const server = connect({ url: postgres.url(), applicationName: 'bench', onIdleError: () => undefined });
  const progress = createProgress('wal', accounts + compressions.length * polls);
  let queue: QueueDatabase | undefined;
  try {
    for (const setting of ["max_wal_size = '64GB'", "checkpoint_timeout = '1h'", 'synchronous_commit = off'])
      await sql.raw(`alter system set ${setting}`).execute(server);
    await sql`select pg_reload_conf()`.execute(server);
    queue = await createQueueDatabase(postgres, accounts, (done) => progress.update(done, 'filling'));
    const figures: WalFigures[] = [];
    for (const [round, compression] of compressions.entries()) {
      const before = accounts + round * polls;
      const show = (done: number) => progress.update(before + done, `compression ${compression}`);
      const bytesPerPoll = await measure(server, queue, compression, polls, show);
      const gigabytesPerDay = (bytesPerPoll * callsPerSecond * 86_400) / 1e9;
      figures.push({ compression, bytesPerPoll, gigabytesPerDay });
    }
    progress.stop();
    report(accounts, figures, options.json === true);
  } finally {
    progress.stop();
    await queue?.close();
    await server.destroy();
    await postgres.stop();
  }
}

async function measure(
  server: Database,
  queue: QueueDatabase,
  compression: string,
  polls: number,
  show: (done: number) => void,
): Promise<number> {
  await sql.raw(`alter system set wal_compression = ${compression}`).execute(server);
  await sql`select pg_reload_conf()`.execute(server);
  await sql`checkpoint`.execute(server);
  const from = await position(server);
  let done = 0;
  for (; done < polls; done += atOnce) {
    await queue.work(atOnce);
    show(done);
  }
  return ((await position(server)) - from) / done;
}

async function position(server: Database): Promise<number> {
  const { rows } = await sql<{ bytes: number }>`
    select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 as bytes
  `.execute(server);
  return rows[0]?.bytes ?? 0;
}

function report(accounts: number, figures: readonly WalFigures[], json: boolean): void {
  const rows = figures.map(({ compression, bytesPerPoll, gigabytesPerDay }) => [
    compression,
    formatFigure(bytesPerPoll),
    formatFigure(gigabytesPerDay),
  ]);
  process.stdout.write(
    `${count(accounts)} accounts\n${formatTable([['wal_compression', 'B an unchanged poll', 'GB a day at 190/s'], ...rows])}\n`,
  );
  if (json) process.stdout.write(`${JSON.stringify({ bench: 'wal', accounts, figures })}\n`);
}
