import type { Database } from '../../db/client.ts';
import {
  beginSourceSync,
  endSourceSync,
  refreshAccountStatistics,
  type SourceStats,
} from '../../db/queries/account-sources.ts';
import { SourceError } from '../../db/source-error.ts';
import type { AccountSource } from '../../db/source-rows.ts';
import { count } from '../terminal/numbers.ts';
import { createKeySet } from './key-set.ts';
import { type NamedCounts, nameAccounts } from './name-accounts.ts';
import { readSourceAccounts } from './read-source-accounts.ts';
import { keepSyncLease } from './sync-lease.ts';
import { findVanished, settleVanished } from './vanished-accounts.ts';
import { vanishedLimits } from './vanished-limit.ts';

/** What a sync found in the source and did. */
export interface SyncReport extends SourceStats {
  readonly takenOut: number;
  /** The first accounts that have vanished. */
  readonly vanishedIds: readonly string[];
  /** Why nothing was removed though it should have been. */
  readonly refusal: string | undefined;
}

/**
 * What came of a sync. `failed`: the source can't be read or is not believed, and nothing was removed; `busy`: another
 * sync of the app is under way; `stopped`: the signal has ended it.
 */
export type SourceSync =
  | { readonly outcome: 'synced'; readonly report: SyncReport }
  | { readonly outcome: 'failed'; readonly failure: string; readonly enrolled: number }
  | { readonly outcome: 'busy' }
  | { readonly outcome: 'stopped' };

export interface SyncOptions {
  readonly appId: number;
  readonly source: AccountSource;
  /** Takes out what has vanished, within limits; undefined only reports it. */
  readonly prune?: { readonly maxRemovals?: number | undefined } | undefined;
  readonly signal: AbortSignal;
  /** How long the source may be silent. */
  readonly timeoutMs?: number;
  readonly onProblem?: (row: number, problem: string) => void;
  readonly onProgress?: (counts: NamedCounts) => void;
}

/**
 * Reads the app's source from beginning to end, enrols what is new, and finds what it has named before and names no
 * more. Memory: a bit for each account. Only a source that was read to its end removes anything:
 *
 *   lease ─▶ read, enrol new ones ─▶ anything named? ─▶ count the vanished ─▶ few enough? ─▶ remove ─▶ store figures
 *                     │ error              │ no                                   │ no
 *                     └────────────────────┴──────────── store the failure ◀──────┘
 */
export async function syncAccounts(db: Database, options: SyncOptions): Promise<SourceSync> {
  const { appId } = options;
  const runNo = await beginSourceSync(db, appId);
  if (runNo === undefined) return { outcome: 'busy' };
  const lease = keepSyncLease(db, appId, runNo);
  const signal = AbortSignal.any([options.signal, lease.lost]);
  let came: Parameters<typeof endSourceSync>[3];
  let enrolled = 0;
  const onProgress = (counts: NamedCounts) => {
    enrolled = counts.enrolled;
    options.onProgress?.(counts);
  };
  try {
    const report = await readAndSettle(db, { ...options, signal, onProgress });
    came = { figures: report };
    return { outcome: 'synced', report };
  } catch (error) {
    if (signal.aborted) return { outcome: options.signal.aborted ? 'stopped' : 'busy' };
    if (!(error instanceof SourceError)) throw error;
    came = { failure: error.message };
    return { outcome: 'failed', failure: error.message, enrolled };
  } finally {
    await lease.stop();
    await endSourceSync(db, appId, runNo, came);
  }
}

/** This many that came at once change how the tables are best read. */
const manyAccounts = 10_000;

async function readAndSettle(db: Database, options: SyncOptions): Promise<SyncReport> {
  const { appId, source, prune, signal } = options;
  const seen = createKeySet();
  const counts = await nameAccounts(db, readSourceAccounts(source, options), seen, {
    appId,
    onProblem: options.onProblem ?? (() => undefined),
    onProgress: options.onProgress ?? (() => undefined),
  });
  if (seen.size === 0) throw new SourceError(formatEmpty(counts));
  if (counts.fresh >= manyAccounts) await refreshAccountStatistics(db);

  const vanished = await findVanished(db, appId, seen, signal);
  const known = vanished.known - counts.fresh;
  const limits = vanishedLimits(known, prune?.maxRemovals);
  if (vanished.count > limits.believed) throw new SourceError(formatShrunk(known, vanished.count));

  const refused = prune !== undefined && vanished.count > limits.removed;
  const remove = prune !== undefined && !refused && vanished.count > 0;
  const removed =
    remove || vanished.takenOut > 0 ? await settleVanished(db, appId, seen, { remove, signal }) : 0;
  return {
    named: seen.size,
    bad: counts.bad,
    enrolled: counts.enrolled,
    vanished: vanished.count,
    removed,
    takenOut: counts.takenOut,
    vanishedIds: vanished.ids,
    refusal: refused ? reportTooMany(known, vanished.count, limits.removed) : undefined,
  };
}

function formatEmpty({ bad, firstProblem }: NamedCounts): string {
  return bad === 0
    ? 'The source of the accounts names no account: its query returns no row.'
    : `The source of the accounts names no account: none of its ${count(bad)} rows holds an account, the first ${firstProblem}.`;
}

function formatShrunk(known: number, vanished: number): string {
  return `The source of the accounts names only ${count(known - vanished)} of the ${count(known)} accounts that it has named by now. Less than half is not believed; if it is right, say so with --prune --max-removals ${Math.ceil(vanished)}.`;
}

function reportTooMany(known: number, vanished: number, limit: number): string {
  return `${count(vanished)} of ${count(known)} accounts have vanished, and no more than ${count(Math.floor(limit))} are removed at once unless you allow more with --max-removals.`;
}
