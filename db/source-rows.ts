import type pg from 'pg';
import { surviveBreaks } from './client.ts';
import { FreshClient } from './fresh-client.ts';
import { SourceError, sourceErrorOf } from './source-error.ts';

/** A query on a database of the customer's, whose rows name accounts. */
export interface AccountSource {
  readonly url: string;
  readonly query: string;
}

export interface ReadSourceOptions {
  readonly signal: AbortSignal;
  /** How long the source may take to connect and answer, and again for each further chunk of rows. */
  readonly timeoutMs?: number;
}

const idColumn = 'account_id';
/** Rows in one answer. All their columns are sent, and `select *` may bring wide ones. */
const chunkSize = 5000;
/** A query that sorts a large table is silent for minutes before its first row. */
const defaultTimeoutMs = 600_000;
const connectMs = 10_000;
const closeMs = 2000;
/** The type `char(n)`, whose values Postgres pads with blanks that do not count. */
const paddedType = 1042;

// Integers, UUIDs and whatever else a key may be, as Postgres writes them.
const asText: pg.CustomTypesConfig = { getTypeParser: () => (text: string) => text };

/**
 * Reads the query's column `account_id`, or its first, through a cursor, in one read-only transaction. Takes one
 * select and nothing else. Throws SourceError, also after chunks that were good.
 */
export async function* readSourceRows(
  source: AccountSource,
  { signal, timeoutMs = defaultTimeoutMs }: ReadSourceOptions,
): AsyncGenerator<readonly (string | null)[]> {
  // The server ends the query itself; if it can't say so any more, we do not wait for ever.
  const withTimeout = <T>(work: Promise<T>) => patiently(work, timeoutMs + connectMs, signal);
  let client: pg.Client | undefined;
  let connected = false;
  let asking: number | undefined;
  try {
    client = connectToSource(source.url, Math.min(connectMs, timeoutMs));
    await withTimeout(client.connect());
    connected = true;
    await withTimeout(client.query('begin transaction read only'));
    const { rows: backends } = await withTimeout(
      client.query<{ pid: number }>('select pg_backend_pid() as pid'),
    );
    asking = backends[0]?.pid;
    await withTimeout(client.query(`set local statement_timeout = ${Math.ceil(timeoutMs)}`));
    // All rows will be read; by default a cursor is planned for the first tenth.
    await withTimeout(client.query('set local cursor_tuple_fraction = 1'));
    await withTimeout(client.query(declareCursor(source.query)));
    for (let place: number | undefined; ; ) {
      const { rows, fields } = await withTimeout(client.query<(string | null)[]>(fetchChunk));
      place ??= findColumn(fields.map(({ name }) => name));
      const column = place;
      const padded = fields[column]?.dataTypeID === paddedType;
      if (rows.length > 0) yield rows.map((row) => (padded ? row[column]?.trimEnd() : row[column]) ?? null);
      if (rows.length < chunkSize) return;
    }
  } catch (error) {
    // What is aborted here goes on there.
    if (error instanceof SourceError && asking !== undefined) await cancel(source.url, asking);
    throw sourceErrorOf(error, connected);
  } finally {
    // A connection whose query is under way is cut; the others take their leave.
    if (client !== undefined) await patiently(client.end(), closeMs).catch(() => undefined);
  }
}

/** A connection to a source that is not made yet. */
export function connectToSource(url: string, connectionTimeoutMillis: number): pg.Client {
  const client = new FreshClient({
    connectionString: url,
    application_name: 'tim-mirror accounts',
    connectionTimeoutMillis,
    keepAlive: true,
  });
  surviveBreaks(client);
  return client;
}

/** Ends a query whose result is not needed any more; a server that can't be reached ends it by its own time limit. */
async function cancel(url: string, pid: number): Promise<void> {
  const client = connectToSource(url, closeMs);
  const asked = client.connect().then(() => client.query('select pg_cancel_backend($1)', [pid]));
  await patiently(asked, closeMs).catch(() => undefined);
  await patiently(client.end(), closeMs).catch(() => undefined);
}

/**
 * A cursor takes selects only, and the extended protocol one statement only, so that no text can end the read-only
 * transaction. A protocol-level cursor would take anything: on `copy … to stdout` pg-cursor ends the process.
 */
function declareCursor(query: string) {
  return { text: `declare account_ids no scroll cursor for ${query}`, queryMode: 'extended' };
}

const fetchChunk = {
  text: `fetch forward ${chunkSize} from account_ids`,
  rowMode: 'array',
  types: asText,
} as const satisfies pg.QueryArrayConfig;

function findColumn(columns: readonly string[]): number {
  if (columns.length === 0)
    throw new SourceError('The query for accounts has no column; give a select that names them.');
  return Math.max(columns.indexOf(idColumn), 0);
}

/** What `work` comes to, unless the signal aborts or it takes too long; the work itself goes on. */
export function patiently<T>(work: Promise<T>, ms: number, signal?: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
    const giveUp = (sentence: string) => {
      end();
      reject(new SourceError(sentence));
    };
    const onAbort = () => giveUp('Reading the source of the accounts was aborted.');
    const timer = setTimeout(giveUp, ms, 'The source of the accounts has fallen silent.');
    signal?.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(end);
    if (signal?.aborted) onAbort();
  });
}
