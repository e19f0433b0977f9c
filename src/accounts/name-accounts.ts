import type { Database } from '../../db/client.ts';
import { findNamed, markNamed } from '../../db/queries/account-sources.ts';
import { enrolAccounts } from '../../db/queries/accounts.ts';
import type { KeySet } from './key-set.ts';
import type { AccountLine } from './read-account-ids.ts';

/** What reading a source has brought so far. */
export interface NamedCounts {
  readonly rows: number;
  readonly bad: number;
  /** Why the first bad row is bad. */
  readonly firstProblem: string | undefined;
  /** Accounts that were not named before; most of them are also new. */
  readonly fresh: number;
  readonly enrolled: number;
  /** Accounts that an operator has taken out since they were first named; they stay out. */
  readonly takenOut: number;
}

interface NameOptions {
  readonly appId: number;
  readonly onProblem: (row: number, problem: string) => void;
  readonly onProgress: (counts: NamedCounts) => void;
}

const chunkSize = 5000;

/**
 * Enrols what a source names and is not enrolled yet, chunk by chunk, marks it as named, and collects the keys of all
 * that is named in `seen`. An account that is known already costs no write.
 */
export async function nameAccounts(
  db: Database,
  lines: AsyncIterable<AccountLine>,
  seen: KeySet,
  { appId, onProblem, onProgress }: NameOptions,
): Promise<NamedCounts> {
  let counts: NamedCounts = {
    rows: 0,
    bad: 0,
    firstProblem: undefined,
    fresh: 0,
    enrolled: 0,
    takenOut: 0,
  };
  let rows = 0;
  let chunk = new Set<string>();

  async function nameChunk(): Promise<void> {
    const { keys, takenOut, fresh } = await findNamed(db, appId, [...chunk]);
    chunk = new Set();
    for (const key of keys) seen.add(key);
    const enrolled = fresh.length === 0 ? 0 : await enrolAccounts(db, appId, fresh);
    const marked = fresh.length === 0 ? [] : await markNamed(db, appId, fresh);
    for (const key of marked) seen.add(key);
    counts = {
      ...counts,
      rows,
      fresh: counts.fresh + marked.length,
      enrolled: counts.enrolled + enrolled,
      takenOut: counts.takenOut + takenOut,
    };
    onProgress(counts);
  }

  for await (const line of lines) {
    rows = line.line;
    if ('problem' in line) {
      counts = { ...counts, bad: counts.bad + 1, firstProblem: counts.firstProblem ?? line.problem };
      onProblem(line.line, line.problem);
      continue;
    }
    chunk.add(line.id);
    if (chunk.size === chunkSize) await nameChunk();
  }
  await nameChunk();
  return counts;
}
