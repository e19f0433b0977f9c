import { pipeline, Readable } from 'node:stream';
import { parse } from 'csv-parse';
import { z } from 'zod';
import { accountIdProblem } from './account-id.ts';
import { decodeList } from './decode-list.ts';
import { ListError } from './list-error.ts';
import { delimiters, detectFormat, type ListFormat, type ListOptions } from './list-format.ts';

/** A line of the list, counted from 1: an account id, or why it is none. */
export type AccountLine =
  | { readonly line: number; readonly id: string }
  | { readonly line: number; readonly problem: string };

const ndjsonEntry = z.record(z.string(), z.unknown());
const csvRecord = z.object({
  info: z.object({ lines: z.number() }),
  record: z.array(z.string()),
});
/** No line of a list is longer, nor a record of CSV: a file without line ends must not fill the memory. */
const longestLine = 1_000_000;

/**
 * Reads a list of accounts as it streams by; memory does not grow with its length. Empty lines are passed over. Throws
 * ListError before the first account where the list is not what it should be, and later where it aborts.
 */
export async function readAccountIds(
  input: AsyncIterable<Uint8Array>,
  request: ListOptions = {},
): Promise<AsyncIterable<AccountLine>> {
  const text = decodeList(input);
  const begun = await readFirstLine(text);
  const format = detectFormat(begun.firstLine, request);
  const all = joined(begun.text, text);
  return format.kind === 'csv' ? readCsv(all, format) : readLines(all, idReader(format));
}

/** Reads up to the end of the first line that is not empty; what has been read is handed on. */
async function readFirstLine(chunks: AsyncIterator<string>): Promise<{ text: string; firstLine: string }> {
  let text = '';
  for (;;) {
    const firstLine = /^\s*(\S[^\r\n]*)[\r\n]/.exec(text)?.[1];
    if (firstLine !== undefined) return { text, firstLine };
    if (text.length > longestLine) throw tooLong(1);
    const next = await chunks.next();
    if (next.done === true) return { text, firstLine: text.trim() };
    text += next.value;
  }
}

async function* joined(first: string, rest: AsyncIterable<string>): AsyncGenerator<string, void, undefined> {
  yield first;
  yield* rest;
}

async function* readLines(
  chunks: AsyncIterable<string>,
  read: (text: string) => Reading,
): AsyncGenerator<AccountLine> {
  let line = 0;
  for await (const lines of splitLines(chunks)) {
    for (const text of lines) {
      line += 1;
      if (text.length > longestLine) throw tooLong(line);
      if (text.trim() !== '') yield { line, ...read(text) };
    }
  }
}

/** Lines as they come, many at once. They end with `\n`, `\r\n` or `\r`. */
async function* splitLines(chunks: AsyncIterable<string>): AsyncGenerator<readonly string[]> {
  let rest = '';
  for await (const chunk of chunks) {
    const text = rest + chunk;
    // A carriage return at the end may be half of a line end.
    const lines = text.slice(0, text.endsWith('\r') ? -1 : undefined).split(/\r\n|\n|\r/);
    rest = (lines.pop() ?? '') + (text.endsWith('\r') ? '\r' : '');
    if (rest.length > longestLine) lines.push(rest);
    yield lines;
  }
  yield [rest.replace(/\r$/, '')];
}

type Reading = { readonly id: string } | { readonly problem: string };

function idReader(format: Exclude<ListFormat, { kind: 'csv' }>): (text: string) => Reading {
  if (format.kind === 'ndjson') {
    const { name } = format;
    return (text) => judge(readJsonId(text, name), `is not an object with a text ${name}`);
  }
  return format.insisted
    ? (text) => judge(text, '')
    : (text) => {
        const problem = delimiters.some((delimiter) => text.includes(delimiter))
          ? 'looks like several columns'
          : mistakeIn(text);
        return problem === undefined ? judge(text, '') : { problem };
      };
}

function readJsonId(line: string, name: string): string | undefined {
  try {
    const value = ndjsonEntry.safeParse(JSON.parse(line)).data?.[name];
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}

async function* readCsv(
  chunks: AsyncIterable<string>,
  { delimiter, place, name, header }: Extract<ListFormat, { kind: 'csv' }>,
): AsyncGenerator<AccountLine> {
  const parser = parse({
    delimiter,
    info: true,
    max_record_size: longestLine,
    relax_column_count: true,
    skip_empty_lines: true,
  });
  // The parser hands on its own errors and those of the input.
  pipeline(Readable.from(chunks), parser, () => undefined);
  let headerDue = header;
  try {
    for await (const parsed of parser) {
      const { info, record } = csvRecord.parse(parsed);
      const blank = record.length === 1 && record[0]?.trim() === '' && headerDue;
      if (!headerDue) {
        const id = record[place]?.trim();
        const mistake = id === undefined ? undefined : mistakeIn(id);
        yield {
          line: info.lines,
          ...(mistake === undefined ? judge(id, `has no ${name}`) : { problem: mistake }),
        };
      } else if (!blank) headerDue = false;
    }
  } catch (error) {
    throw csvErrorOf(error);
  }
}

/** The parser's message quotes the list; its code and the line say enough. */
function csvErrorOf(error: unknown): unknown {
  if (!(error instanceof Error) || !('code' in error) || !('lines' in error)) return error;
  const reason = String(error.code).toLowerCase().replaceAll('_', ' ');
  return new ListError(
    `Line ${Number(error.lines)} can’t be read as CSV (${reason}); correct its quotes, or say --format lines if each line is an id.`,
    { cause: error },
  );
}

/** What a spreadsheet or an export has made of an id; no account is called so. */
function mistakeIn(id: string): string | undefined {
  if (/^-?\d([.,]\d+)?E\+\d+$/i.test(id)) return 'is a number that a spreadsheet has rounded';
  if (/^["']|["']$/.test(id)) return 'begins or ends with a quote';
  return undefined;
}

function judge(id: string | undefined, without: string): Reading {
  if (id === undefined) return { problem: without };
  const problem = accountIdProblem(id);
  return problem === undefined ? { id } : { problem };
}

function tooLong(line: number): ListError {
  return new ListError(
    `Line ${line} is longer than a million characters; give a list with an id on each line.`,
  );
}
