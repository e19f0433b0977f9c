import { createInterface } from 'node:readline';
import { pipeline, type Readable } from 'node:stream';
import { parse } from 'csv-parse';
import { z } from 'zod';
import { accountIdProblem } from './account-id.ts';

/** How a list of accounts is written. */
export const accountFormats = ['lines', 'csv', 'ndjson'] as const;
export type AccountFormat = (typeof accountFormats)[number];

/** A line of the list, counted from 1: an account id, or why it is none. */
export type AccountLine =
  | { readonly line: number; readonly id: string }
  | { readonly line: number; readonly problem: string };

const idColumn = 'account_id';
const ndjsonEntry = z.object({ [idColumn]: z.string() });
const csvRecord = z.object({
  info: z.object({ lines: z.number() }),
  record: z.record(z.string(), z.string()),
});

/** The format a first line speaks of: an object, a header with a column `account_id`, or an id. */
export function detectFormat(firstLine: string): AccountFormat {
  const line = firstLine.replace(/^\uFEFF/, '').trim();
  if (line.startsWith('{')) return 'ndjson';
  const columns = line.split(/[,;\t]/).map((column) => column.trim().replace(/^"(.*)"$/, '$1'));
  return columns.includes(idColumn) ? 'csv' : 'lines';
}

/** Reads a list of accounts as it streams by; memory does not grow with its length. Empty lines are passed over. */
export async function* readAccountIds(input: Readable, format: AccountFormat): AsyncGenerator<AccountLine> {
  if (format === 'csv') yield* readCsv(input);
  else yield* readLines(input, format === 'ndjson' ? readJsonId : (line) => line);
}

async function* readLines(
  input: Readable,
  idOf: (line: string) => string | undefined,
): AsyncGenerator<AccountLine> {
  let line = 0;
  for await (const raw of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    line += 1;
    const text = line === 1 ? raw.replace(/^\uFEFF/, '') : raw;
    if (text.trim() === '') continue;
    yield check(line, idOf(text), `is not an object with a text ${idColumn}`);
  }
}

function readJsonId(line: string): string | undefined {
  try {
    return ndjsonEntry.safeParse(JSON.parse(line)).data?.[idColumn];
  } catch {
    return undefined;
  }
}

async function* readCsv(input: Readable): AsyncGenerator<AccountLine> {
  const parser = parse({
    bom: true,
    columns: (header: string[]) => header.map((name) => name.trim()),
    delimiter: [',', ';', '\t'],
    info: true,
    relax_column_count: true,
    skip_empty_lines: true,
  });
  // The parser hands on its own errors and those of the input.
  pipeline(input, parser, () => undefined);
  for await (const parsed of parser) {
    const { info, record } = csvRecord.parse(parsed);
    yield check(info.lines, record[idColumn], `has no ${idColumn}`);
  }
}

function check(line: number, id: string | undefined, without: string): AccountLine {
  const problem = id === undefined ? without : accountIdProblem(id);
  return problem === undefined && id !== undefined ? { line, id } : { line, problem: problem ?? without };
}
