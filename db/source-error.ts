import pg from 'pg';

/** A source of accounts can't be read. The message is one sentence, without URL, password or row values. */
export class SourceError extends Error {
  override readonly name = 'SourceError';

  constructor(message: string, cause?: unknown) {
    super(message, { cause });
  }
}

/** What came of it, by SQLSTATE or by the code of the network's error. */
const sentences: Readonly<Record<string, string>> = {
  '0A000': 'The query for accounts must be one select that only reads.',
  '25006': 'The query wants to write, and the source of the accounts is only ever read.',
  '28000': 'The source of the accounts refuses the user or password in its URL.',
  '28P01': 'The source of the accounts refuses the user or password in its URL.',
  '3D000': 'The source of the accounts has no such database as its URL names.',
  '53300': 'The source of the accounts has no connection left.',
  '57014':
    'The source of the accounts cancelled the query: it took too long, or an administrator cancelled it.',
  '57P01': 'The source of the accounts was shut down while it was read.',
  '57P03': 'The source of the accounts is starting up or shutting down.',
};

/** What went wrong with a source, in a sentence that may be shown and stored: it holds no secret. */
export function sourceErrorOf(error: unknown, connected: boolean): SourceError {
  if (error instanceof SourceError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : undefined;
  const known = code === undefined ? undefined : sentences[code];
  if (known !== undefined) return new SourceError(known, error);
  if (error instanceof pg.DatabaseError && isSeveralStatements(error))
    return new SourceError('The query for accounts must be one select and nothing else.', error);
  if (error instanceof pg.DatabaseError && tellsOfTheQuery(error))
    return new SourceError(`The query for accounts is refused: ${error.message} (${code}).`, error);
  if (error instanceof pg.DatabaseError)
    return new SourceError(`The query for accounts fails at its source with error ${code}.`, error);
  const why = code === undefined ? '' : ` (${code})`;
  return new SourceError(
    connected
      ? `The connection to the source of the accounts broke${why}.`
      : `The source of the accounts can’t be reached${why}; check its URL and that it is running.`,
    error,
  );
}

/**
 * Whether Postgres speaks of the text of the query: then the message quotes what the operator wrote. An error that comes
 * while rows are read, which has no position, may quote a row.
 */
function tellsOfTheQuery({ code = '', position }: pg.DatabaseError): boolean {
  return code === '42501' || (code.startsWith('42') && position !== undefined);
}

/** A syntax error that is at no place in the text. */
function isSeveralStatements({ code, position, internalPosition }: pg.DatabaseError): boolean {
  return code === '42601' && position === undefined && internalPosition === undefined;
}
