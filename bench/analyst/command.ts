import { Command } from 'commander';
import { sql } from 'kysely';
import { connect, type Database } from '../../db/client.ts';
import { migrate } from '../../db/migrate.ts';
import { sweepAbandonedFolders } from '../../dev/local-servers/owned-folder.ts';
import { startPostgres } from '../../dev/local-servers/postgres.ts';
import { count } from '../../src/terminal/numbers.ts';
import { createProgress, type Progress } from '../../src/terminal/progress.ts';
import { type Answer, ask, measureSizes, measureWrite, type TableSize } from './measure.ts';
import { questionsOf } from './questions.ts';
import { type Findings, formatFindings } from './report.ts';
import { makeIndex, seedMirror } from './seed.ts';

interface AnalystOptions {
  readonly quick?: boolean;
  readonly json?: boolean;
  readonly accounts?: string;
}

const fullAccounts = 1_000_000;
const quickAccounts = 30_000;
const reverseIndexName = 'mirror.friend_group_member_friend';
/** Of a bar, by what takes how long. */
const shares = { rows: 0.6, indexes: 0.9, whole: 1 };

/** `bench analyst`: how long analysts' questions take at size, and what a row costs on disk. */
export function analystCommand(): Command {
  return new Command('analyst')
    .description(
      'analysts’ questions on 1 M accounts, 3 M groups and 30 M members, generated; needs 12 GB in the folder for temporary files',
    )
    .option('--quick', `${count(quickAccounts)} accounts instead`)
    .option('--accounts <n>', 'this many accounts')
    .option('--json', 'one JSON object as the last line')
    .action(analyst);
}

async function analyst(options: AnalystOptions): Promise<void> {
  const accounts = Number(options.accounts ?? (options.quick === true ? quickAccounts : fullAccounts));
  if (!Number.isInteger(accounts) || accounts < 1000)
    throw new RangeError('Accounts must be a whole number from 1000.');
  await sweepAbandonedFolders();
  const postgres = await startPostgres({ durable: false });
  const db = connect({
    url: postgres.url(),
    applicationName: 'bench analyst',
    maxConnections: 4,
    onIdleError: () => undefined,
  });
  const progress = createProgress('analyst', 1000);
  try {
    await migrate(db);
    const findings = await findOut(db, accounts, progress);
    progress.stop();
    process.stdout.write(
      options.json === true
        ? `${JSON.stringify({ bench: 'analyst', ...findings })}\n`
        : formatFindings(findings),
    );
  } finally {
    progress.stop();
    await db.destroy();
    await postgres.stop();
  }
}

async function findOut(db: Database, accounts: number, progress: Progress): Promise<Findings> {
  const show = (share: number, note: string) => progress.update(Math.round(share * 1000), note);
  const begun = performance.now();
  const indexes = await seedMirror(db, {
    accounts,
    onProgress: (share) => show(share * shares.rows, 'making rows'),
  });
  const made = performance.now();
  const { without, buildSeconds } = await makeIndexes(db, accounts, indexes, show);
  show(shares.indexes, 'vacuum analyze');
  await sql`vacuum (analyze) mirror.change`.execute(db);
  await sql`vacuum (analyze)`.execute(db);
  const indexed = performance.now();
  const tables = await measureSizes(db);
  const questions = await askAll(db, accounts, show);
  const answered = performance.now();
  await measureWrite(db, accounts);
  const writeMicrosecondsWith = await measureWrite(db, accounts);
  const [size] = (
    await sql<{ bytes: number }>`select pg_database_size(current_database()) as bytes`.execute(db)
  ).rows;
  const of = (name: string) => tableOf(tables, name);
  const reverseBytes = of('friend_group_member').indexes[reverseIndexName] ?? 0;
  return {
    accounts,
    groups: of('friend_group').rows,
    members: of('friend_group_member').rows,
    databaseBytes: size?.bytes ?? 0,
    bytesPerAccount:
      ['account', 'poll_state', 'poll_outcome'].reduce((sum, name) => sum + bytesOf(of(name)), 0) / accounts,
    bytesPerGroup: of('friend_group').bytesPerRow,
    bytesPerMember: of('friend_group_member').bytesPerRow,
    bytesPerChange: of('change').bytesPerRow,
    seconds: {
      rows: (made - begun) / 1000,
      indexes: (indexed - made) / 1000,
      questions: (answered - indexed) / 1000,
    },
    questions,
    tables,
    reverseIndex: {
      bytes: reverseBytes,
      bytesPerMember: reverseBytes / of('friend_group_member').rows,
      buildSeconds,
      writeMicrosecondsWithout: without,
      writeMicrosecondsWith,
    },
    met: questions.every(({ met }) => met),
  };
}

type Show = (share: number, note: string) => void;

/** Makes all indexes, that for "in whose groups" last, so that writing can be timed without it. */
async function makeIndexes(
  db: Database,
  accounts: number,
  indexes: Awaited<ReturnType<typeof seedMirror>>,
  show: Show,
): Promise<{ readonly without: number; readonly buildSeconds: number }> {
  const others = indexes.filter(({ name }) => name !== reverseIndexName);
  for (const [index, plan] of others.entries()) {
    show(shares.rows + (shares.indexes - shares.rows) * (index / indexes.length), plan.name);
    await makeIndex(db, plan);
  }
  await sql`analyze mirror.friend_group`.execute(db);
  // Once to bring the pages into memory, and then for good.
  await measureWrite(db, accounts);
  const without = await measureWrite(db, accounts);
  const reverse = indexes.find(({ name }) => name === reverseIndexName);
  const buildSeconds = reverse === undefined ? 0 : await makeIndex(db, reverse);
  return { without, buildSeconds };
}

async function askAll(db: Database, accounts: number, show: Show): Promise<readonly Answer[]> {
  const questions = questionsOf(accounts);
  const answers: Answer[] = [];
  for (const [index, question] of questions.entries()) {
    show(shares.indexes + (shares.whole - shares.indexes) * (index / questions.length), question.name);
    answers.push(
      await db.connection().execute(async (connection) => {
        // As docs/analysts.md advises who asks about everything: a sort on disk takes several times as long.
        await sql`set work_mem = '256MB'`.execute(connection);
        return ask(connection, question);
      }),
    );
  }
  return answers;
}

const bytesOf = ({ tableBytes, indexBytes }: TableSize) => tableBytes + indexBytes;

function tableOf(tables: readonly TableSize[], name: string): TableSize {
  const table = tables.find((candidate) => candidate.table === name);
  if (table === undefined) throw new RangeError(`no table ${name}`);
  return table;
}
