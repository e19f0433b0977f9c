import type { Database } from '../../db/client.ts';
import { enrolAccounts } from '../../db/queries/accounts.ts';
import type { AccountLine } from './read-account-ids.ts';

/** What came of an import. */
export interface ImportReport {
  /** Lines that held an id. */
  readonly read: number;
  readonly enrolled: number;
  /** Ids that were enrolled already, or were in the list more than once. */
  readonly known: number;
  readonly bad: number;
}

interface ImportOptions {
  readonly appId: number;
  /** Called for every line that is no account. */
  readonly onProblem: (line: number, problem: string) => void;
  readonly onProgress: (report: ImportReport) => void;
}

/** Ids in one statement: longer ones gain nothing, and hold their locks longer. */
const chunkSize = 10_000;

/**
 * Enrols every account of a list, in chunks, each in one transaction. An import aborted has enrolled what came
 * before; repeating it changes nothing for those.
 */
export async function importAccounts(
  db: Database,
  lines: AsyncIterable<AccountLine>,
  options: ImportOptions,
): Promise<ImportReport> {
  let report: ImportReport = { read: 0, enrolled: 0, known: 0, bad: 0 };
  let chunk: string[] = [];

  async function enrolChunk(): Promise<void> {
    const ids = [...new Set(chunk)].sort();
    const enrolled = await enrolAccounts(db, options.appId, ids);
    report = {
      ...report,
      read: report.read + chunk.length,
      enrolled: report.enrolled + enrolled,
      known: report.known + chunk.length - enrolled,
    };
    chunk = [];
    options.onProgress(report);
  }

  for await (const line of lines) {
    if ('problem' in line) {
      report = { ...report, bad: report.bad + 1 };
      options.onProblem(line.line, line.problem);
      continue;
    }
    chunk.push(line.id);
    if (chunk.length === chunkSize) await enrolChunk();
  }
  if (chunk.length > 0) await enrolChunk();
  return report;
}
