import { pipeline, Readable } from 'node:stream';
import { parse } from 'csv-parse';
import { z } from 'zod';
import { accountIdProblem } from './account-id.ts';
import { decodeList } from './decode-list.ts';
import { ListError } from './list-error.ts';
import {
  delimiters,
  detectFormat,
  type ListFormat,
  type ListOptions,
  type TableFormat,
} from './list-format.ts';

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
  const begun = await readBeginning(text);
  const format = detectFormat(begun.first, request, begun.second);
  const all = joined(begun.text, text);
  return format.kind === 'csv' ? readCsv(all, format) : readLines(all, idReader(format));
}

interface Beginning {
  /** All that has been read. */
  readonly text: string;
  /** The first two lines that are not empty. */
  readonly first: string;
  readonly second: string;
}

/** Reads up to the end of the second line that is not empty; what has been read is handed on. */
async function readBeginning(chunks: AsyncIterator<string>): Promise<Beginning> {
  let text = '';
  for (;;) {
    const [, first, rest = ''] = /^\s*(\S[^\r\n]*)[\r\n]\s*(.*)$/s.exec(text) ?? [];
    const second = /^[^\r\n]+(?=[\r\n])/.exec(rest)?.[0];
    if (first !== undefined && second !== undefined) return { text, first, second };
    if (text.length > longestLine) {
      if (first === undefined) throw tooLong(1);
      return { text, first, second: rest };
    }
    const next = await chunks.next();
    if (next.done === true) return { text, first: first ?? text.trim(), second: rest };
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

function idReader(format: Exclude<ListFormat, TableFormat>): (text: string) => Reading {
  if (format.kind === 'ndjson') {
    const { name } = format;
    return (text) => judgeExported(readJsonId(text, name), `is not an object with a text ${name}`, []);
  }
  return format.insisted ? (text) => judge(text, '') : (text) => judgeExported(text, '', delimiters);
}

function readJsonId(line: string, name: string): string | undefined {
  try {
    const value = ndjsonEntry.safeParse(JSON.parse(line)).data?.[name];
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}

async function* readCsv(chunks: AsyncIterable<string>, format: TableFormat): AsyncGenerator<AccountLine> {
  const parser = parse({
    delimiter: format.delimiter,
    info: true,
    max_record_size: longestLine,
    relax_column_count: true,
    skip_empty_lines: true,
  });
  // The parser hands on its own errors and those of the input.
  pipeline(Readable.from(chunks), parser, () => undefined);
  let read = format.header ? undefined : rowReader(format, [format.name]);
  try {
    for await (const parsed of parser) {
      const { info, record } = csvRecord.parse(parsed);
      if (read !== undefined) {
        const reading = read(record);
        if (reading !== undefined) yield { line: info.lines, ...reading };
      } else if (!isBlank(record)) read = rowReader(format, record);
    }
  } catch (error) {
    throw csvErrorOf(error);
  }
}

/** Reads the rows of a table; undefined is a row that is an empty line. */
function rowReader(
  { place, name, delimiter }: TableFormat,
  header: readonly string[],
): (row: readonly string[]) => Reading | undefined {
  // A bar is part of many an id (`auth0|7`): it counts where nothing else separates the columns.
  const separators = delimiters.filter((one) => one !== '|' || header.length === 1 || delimiter === '|');
  return (row) => {
    if (header.length > 1 && isBlank(row)) return undefined;
    // A delimiter at the end of a line makes one more column, which is empty.
    const fits = isBlank(row.slice(header.length)) && isBlank(header.slice(row.length));
    if (!fits) return { problem: `has ${columns(row.length)}, and the first line has ${header.length}` };
    return judgeExported(row[place]?.trim(), `has no ${name}`, separators);
  };
}

function isBlank(cells: readonly string[]): boolean {
  return cells.every((cell) => cell.trim() === '');
}

function columns(count: number): string {
  return count === 1 ? '1 column' : `${count} columns`;
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

/** Judges what a program has exported; `separators` are in no id of such a list. */
function judgeExported(id: string | undefined, without: string, separators: readonly string[]): Reading {
  const mistake = id === undefined ? undefined : mistakeIn(id, separators);
  return mistake === undefined ? judge(id, without) : { problem: mistake };
}

/**
 * A number with an exponent, as programs print those that they have rounded: with a fraction, with a plus, or with one
 * digit before the exponent. `12e45` may be hexadecimal.
 */
const rounded = /^[-+]?(\d+[.,]\d*E\+?|\d+E\+|\dE)\d{1,3}$/i;

/** What a spreadsheet or an export has made of an id; no account is called so. */
function mistakeIn(id: string, separators: readonly string[]): string | undefined {
  if (rounded.test(id)) return 'is a number that a spreadsheet has rounded';
  if (separators.some((separator) => id.includes(separator))) return 'looks like several columns';
  if (/^["']|["']$/.test(id)) return 'begins or ends with a quote';
  if (/^\(\d+ rows?\)$/.test(id)) return 'is psql’s count of rows (export with psql -At)';
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
