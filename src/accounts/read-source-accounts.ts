import { type AccountSource, type ReadSourceOptions, readSourceRows } from '../../db/source-rows.ts';
import { accountIdProblem } from './account-id.ts';
import type { AccountLine } from './read-account-ids.ts';

/** Reads the accounts that a source names, as they stream by; rows count as lines. Throws SourceError. */
export async function* readSourceAccounts(
  source: AccountSource,
  options: ReadSourceOptions,
): AsyncGenerator<AccountLine> {
  let line = 0;
  for await (const ids of readSourceRows(source, options)) {
    for (const id of ids) {
      line += 1;
      const problem = id === null ? 'is null' : accountIdProblem(id);
      yield id === null || problem !== undefined ? { line, problem: problem ?? 'is null' } : { line, id };
    }
  }
}
