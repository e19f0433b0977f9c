import { createReadStream, statSync } from 'node:fs';
import type { Database } from '../../../db/client.ts';
import { ensureApp } from '../../../db/queries/apps.ts';
import { countQueue } from '../../../db/queries/count-queue.ts';
import { findSourceRisk } from '../../../db/source-rights.ts';
import { accountIdProblem } from '../../../src/accounts/account-id.ts';
import { type ImportReport, importAccounts } from '../../../src/accounts/import-accounts.ts';
import { ListError } from '../../../src/accounts/list-error.ts';
import type { ListOptions } from '../../../src/accounts/list-format.ts';
import { type AccountLine, readAccountIds } from '../../../src/accounts/read-account-ids.ts';
import { readSourceAccounts } from '../../../src/accounts/read-source-accounts.ts';
import { removeAccounts } from '../../../src/accounts/remove-accounts.ts';
import type { AppConfig } from '../../../src/config/app-config.ts';
import { asWeUseIt, problemOfPostgresUrl } from '../../../src/config/postgres-url.ts';
import { readFailure } from '../../../src/config/read-failure.ts';
import { rateRule } from '../../../src/schedule/policy.ts';
import { jsonText } from '../../../src/terminal/json-text.ts';
import { count, rate } from '../../../src/terminal/numbers.ts';
import { printable } from '../../../src/terminal/printable.ts';
import { createProgress } from '../../../src/terminal/progress.ts';
import { CommandError } from '../../command-error.ts';
import { type AppCommandOptions, abortOnSignals, withApp } from '../../environment.ts';

interface ImportCommand extends ListOptions {
  readonly app?: number;
  readonly fromSql?: string;
  readonly sourceUrl?: string;
}

/** Problems shown one by one; a wrong file has as many as lines. */
const problemsShown = 20;

/** `accounts import <file or ->`, or `accounts import --from-sql <query> [--source-url <url>]` */
export async function importCommand(file: string | undefined, options: ImportCommand): Promise<void> {
  const { fromSql } = options;
  if ((file === undefined) === (fromSql === undefined))
    throw new CommandError('Name either a list of accounts, or a query with --from-sql.', 2);
  if (fromSql === undefined && options.sourceUrl !== undefined)
    throw new CommandError('--source-url goes with --from-sql.', 2);
  for (const option of ['format', 'column'] as const)
    if (fromSql !== undefined && options[option] !== undefined)
      throw new CommandError(
        `--${option} is about a list; a query names its column account_id, or first.`,
        2,
      );
  const begin: AppCommandOptions = {
    needs: ['app', 'database', ...(fromSql === undefined ? [] : ['source-url' as const])],
    overrides: givenSource(options.sourceUrl),
  };
  await withApp(
    options.app,
    async ({ db, app, environment }) => {
      if (fromSql === undefined) {
        await enrolList(db, app, file ?? '-', options);
        return;
      }
      const given = options.sourceUrl === undefined ? undefined : asWeUseIt(options.sourceUrl);
      const url = given ?? app.accountSource?.url ?? environment.config.accounts.sourceUrl;
      if (url === undefined)
        throw new CommandError('Say which Postgres to ask, with --source-url or ACCOUNTS_SOURCE_URL.', 2);
      const signal = abortOnSignals();
      await warnOfSourceRisk(url, signal);
      const rows = readSourceAccounts({ url, query: fromSql }, { signal });
      await enrol(db, app, { lines: rows, what: 'row', bytes: 0, bytesRead: () => 0 });
    },
    begin,
  );
}

/** Says on standard error what the source's role may do besides reading. */
export async function warnOfSourceRisk(url: string, signal: AbortSignal): Promise<void> {
  const risk = await findSourceRisk(url, signal);
  if (risk !== undefined) process.stderr.write(`tim-mirror: ${printable(risk)}\n`);
}

/** A URL given on the command line goes before the variables, and its password is kept like theirs. */
function givenSource(url: string | undefined): NodeJS.ProcessEnv {
  if (url === undefined) return {};
  const problem = problemOfPostgresUrl(url);
  if (problem !== undefined) throw new CommandError(`--source-url ${problem}.`, 2);
  return { ACCOUNTS_SOURCE_URL: url, ACCOUNTS_SOURCE_URL_FILE: '' };
}

/** `accounts add <id…>` */
export async function addCommand(ids: readonly string[], options: { app?: number }): Promise<void> {
  const bad = ids.flatMap((id) => {
    const problem = accountIdProblem(id);
    return problem === undefined ? [] : [`account ${jsonText(id)} ${problem}`];
  });
  if (bad.length > 0) throw new CommandError(`${bad.join('; ')}; nothing was enrolled.`, 2);
  await withApp(options.app, async ({ db, app }) => {
    const report = await enrolIds(db, app, ids);
    process.stdout.write(`${report.enrolled} accounts enrolled, ${report.known} were known\n`);
  });
}

/** Enrols a list with progress on the terminal, bad lines listed one by one, and a summary. */
export async function enrolList(
  db: Database,
  app: AppConfig,
  file: string,
  request: ListOptions = {},
): Promise<void> {
  await enrol(db, app, { ...(await openList(file, request)), what: 'line' });
}

interface Enrolment {
  readonly lines: AsyncIterable<AccountLine>;
  readonly what: 'line' | 'row';
  /** 0 where the length is unknown. */
  readonly bytes: number;
  readonly bytesRead: () => number;
}

async function enrol(
  db: Database,
  app: AppConfig,
  { lines, what, bytes, bytesRead }: Enrolment,
): Promise<void> {
  await ensureApp(db, app);
  const progress = createProgress('accounts', bytes);
  const started = performance.now();
  const report = await importAccounts(db, lines, {
    appId: app.appId,
    onProblem: createProblemReporter(what),
    onProgress({ read }) {
      progress.update(bytesRead(), `${count(read)} accounts, ${rate(read, started)}`);
    },
  }).finally(() => progress.stop());
  await countQueue(db, app.appId, rateRule);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stdout.write(
    `${count(report.enrolled)} accounts enrolled, ${count(report.known)} were known, ` +
      `${count(report.bad)} bad ${what}s left out (${seconds} s)\n`,
  );
  // A query may have nothing new; an empty list is the work of an export that failed.
  if (report.read === 0 && (report.bad > 0 || what === 'line'))
    throw new CommandError(`No ${what} of the ${what === 'line' ? 'list' : 'query'} holds an account.`);
}

/** Lists the first bad lines. */
export function createProblemReporter(what: 'line' | 'row'): (place: number, problem: string) => void {
  let problems = 0;
  return (place, problem) => {
    problems += 1;
    if (problems <= problemsShown)
      process.stderr.write(`${what} ${place} ${printable(problem)}; it is left out\n`);
    if (problems === problemsShown) process.stderr.write(`further bad ${what}s are only counted\n`);
  };
}

/** Enrols accounts whose ids are known to be good. */
export async function enrolIds(db: Database, app: AppConfig, ids: readonly string[]): Promise<ImportReport> {
  await ensureApp(db, app);
  const lines = toAsync(ids.map((id, index) => ({ line: index + 1, id })));
  const report = await importAccounts(db, lines, {
    appId: app.appId,
    onProblem: () => undefined,
    onProgress: () => undefined,
  });
  await countQueue(db, app.appId, rateRule);
  return report;
}

interface RemoveCommand extends ListOptions {
  readonly app?: number;
  readonly file?: string;
  readonly purge?: boolean;
}

/** `accounts remove <id…> [--file <file or ->] [--purge]` */
export async function removeCommand(ids: readonly string[], options: RemoveCommand): Promise<void> {
  const all = [...ids];
  if (options.file !== undefined) {
    const { lines } = await openList(options.file, options);
    for await (const line of lines) {
      if ('problem' in line)
        throw new CommandError(`line ${line.line} ${line.problem}; nothing was removed.`);
      all.push(line.id);
    }
  }
  if (all.length === 0)
    throw new CommandError('Name the accounts to remove, or a list of them with --file.', 2);
  await withApp(options.app, async ({ db, app }) => {
    const unique = [...new Set(all)];
    const report = await removeAccounts(db, app.appId, unique, options.purge === true);
    await countQueue(db, app.appId, rateRule);
    const missing = unique.length - report.removed.length;
    process.stdout.write(
      `${count(report.removed.length)} accounts removed` +
        `${options.purge === true ? `, ${count(report.purged)} purged with all their past` : ''}` +
        `${missing > 0 ? `, ${count(missing)} were not enrolled` : ''}\n`,
    );
    if (options.file !== undefined && report.removed.length + report.purged === 0)
      throw new CommandError('No account of the list is enrolled; see that it is the right list and app.');
  });
}

interface OpenList {
  readonly lines: AsyncIterable<AccountLine>;
  /** 0 where the length is unknown. */
  readonly bytes: number;
  readonly bytesRead: () => number;
}

/** Opens a list and finds out how it is written from its first line. */
async function openList(file: string, request: ListOptions): Promise<OpenList> {
  try {
    if (file !== '-') {
      const input = createReadStream(file);
      const lines = await readAccountIds(input, request);
      return { lines, bytes: statSync(file).size, bytesRead: () => input.bytesRead };
    }
    let read = 0;
    async function* counted(): AsyncGenerator<Buffer> {
      for await (const chunk of process.stdin) {
        read += chunk.length;
        yield chunk;
      }
    }
    return { lines: await readAccountIds(counted(), request), bytes: 0, bytesRead: () => read };
  } catch (error) {
    if (error instanceof ListError) throw new CommandError(error.message, 2);
    if (!(error instanceof Error && 'syscall' in error)) throw error;
    throw new CommandError(`${printable(file)} can’t be read (${readFailure(error)}).`, 2);
  }
}

async function* toAsync<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}
