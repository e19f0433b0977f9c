import { parse } from 'csv-parse/sync';
import { ListError } from './list-error.ts';

/** How a list of accounts is written. */
export const accountFormats = ['lines', 'csv', 'ndjson'] as const;
type AccountFormat = (typeof accountFormats)[number];

/** What the user says of a list; what is not said is detected from the first line. */
export interface ListOptions {
  readonly format?: AccountFormat | undefined;
  /** The name of the column, or of the field, that holds the ids. */
  readonly column?: string | undefined;
}

/** How a list is to be read. */
export type ListFormat =
  /** `insisted`: ids that look like a mistake are ids. */
  | { readonly kind: 'lines'; readonly insisted: boolean }
  | TableFormat
  | { readonly kind: 'ndjson'; readonly name: string };

/** How a table is to be read. */
export interface TableFormat {
  readonly kind: 'csv';
  readonly delimiter: string;
  /** The place of the ids’ column in a row, counted from 0. */
  readonly place: number;
  readonly name: string;
  readonly header: boolean;
}

/** What separates columns: where it is in an id, the list is more likely a table. */
export const delimiters = [',', ';', '\t', '|'] as const;
/** Names of columns that hold ids, without case, blanks, `_` and `-`; the first that is there is taken. */
const knownNames = ['accountid', 'userid', 'imuserid', 'fromaccount', 'identifier', 'uid', 'id'];
/** Names that an account may have too. They are a header only where nothing else is on the line, and more lines follow. */
const namesAlone: ReadonlySet<string> = new Set([
  'account',
  'username',
  'openid',
  'toaccount',
  'memberid',
  'uin',
]);
const columnsShown = 20;

/**
 * Detects how a list is written from its first two lines that are not empty; `secondLine` is empty where there is no more
 * than one. Throws ListError where that is ambiguous.
 */
export function detectFormat(
  firstLine: string,
  request: ListOptions = {},
  secondLine: string = '',
): ListFormat {
  const line = firstLine.trim();
  const { format, column } = request;
  // An empty list is read like any other, and nothing comes of it.
  if (line === '') return { kind: 'lines', insisted: false };
  if (format === 'lines') {
    if (column !== undefined)
      throw new ListError('--column is about a table; with --format lines each line is an id.');
    return { kind: 'lines', insisted: true };
  }
  if (format === 'ndjson' || (format === undefined && line.startsWith('{'))) return readAsJson(line, column);
  if (format === undefined && line.startsWith('['))
    throw new ListError(
      'The list begins with a bracket, like a JSON array; write one object a line (NDJSON).',
    );
  if (isRule(line) || isRule(secondLine.trim()))
    throw new ListError(
      'The list is a table drawn to be read on a screen, as psql prints it; export it with psql -At, or with \\copy … csv header.',
    );
  return readAsTable(line, { ...request, moreFollows: secondLine !== '' });
}

/** A line between the rows of a drawn table, or above one record of psql’s expanded output. */
function isRule(line: string): boolean {
  return /^[+|]?[-─]{3,}[-─+┼|]*$/.test(line) || line.startsWith('-[ RECORD ');
}

function readAsJson(line: string, column: string | undefined): ListFormat {
  let names: readonly string[] = [];
  try {
    names = Object.keys(JSON.parse(line) ?? {});
  } catch {
    // Reported with its line when it is read.
    return { kind: 'ndjson', name: column ?? 'account_id' };
  }
  return { kind: 'ndjson', name: names[placeOf(names, column, 'fields')] ?? 'account_id' };
}

function readAsTable(
  line: string,
  { format, column, moreFollows }: ListOptions & { readonly moreFollows: boolean },
): ListFormat {
  const { delimiter, cells } = splitHeader(line);
  const [cell = ''] = cells;
  if (cells.length === 1 && column === undefined && moreFollows && namesAlone.has(plain(cell)))
    return { kind: 'csv', delimiter, place: 0, name: cell, header: true };
  if (cells.length === 1 && column === undefined && findKnown(cells) < 0 && format === undefined) {
    // A column of quoted ids without a header is CSV too.
    if (line.startsWith('"')) return { kind: 'csv', delimiter, place: 0, name: 'id', header: false };
    return { kind: 'lines', insisted: false };
  }
  const place = placeOf(cells, column, 'columns');
  return { kind: 'csv', delimiter, place, name: cells[place] ?? 'account_id', header: true };
}

/** The delimiter that makes most columns of the header, and these. */
function splitHeader(line: string): { delimiter: string; cells: readonly string[] } {
  let best: { delimiter: string; cells: readonly string[] } = { delimiter: ',', cells: [line] };
  for (const delimiter of delimiters) {
    const cells = cellsOf(line, delimiter);
    if (delimiter === ',' || cells.length > best.cells.length) best = { delimiter, cells };
  }
  return best;
}

function cellsOf(line: string, delimiter: string): readonly string[] {
  try {
    const [cells = []] = parse(line, { delimiter, to: 1 });
    return cells.map((cell: string) => cell.trim());
  } catch {
    // Quotes that are none of CSV's.
    return line.split(delimiter).map((cell) => cell.trim());
  }
}

function placeOf(names: readonly string[], column: string | undefined, what: 'columns' | 'fields'): number {
  const place =
    column === undefined
      ? findKnown(names)
      : names.findIndex((name) => name.toLowerCase() === column.trim().toLowerCase());
  if (place >= 0) return place;
  const there = names
    .slice(0, columnsShown)
    .map((name) => JSON.stringify(name))
    .join(', ');
  const missing =
    column === undefined ? 'none of them is known to hold ids' : `none of them is ${JSON.stringify(column)}`;
  throw new ListError(
    `The first line has the ${what} ${there}, and ${missing}; name one with --column, or say --format lines if each line is an id.`,
  );
}

function findKnown(names: readonly string[]): number {
  const plainNames = names.map(plain);
  for (const known of knownNames) {
    const place = plainNames.indexOf(known);
    if (place >= 0) return place;
  }
  return -1;
}

/** A name without case, blanks, `_` and `-`. */
function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[\s_-]/g, '');
}
