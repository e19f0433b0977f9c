import type { Database } from '../../db/client.ts';
import { noteOutcomes, recordPolls } from '../../db/queries/poll-records.ts';
import { type Refusal, refusalOf } from '../../db/storage-errors.ts';
import { createBatcher } from '../batcher.ts';
import type { Logger } from '../log.ts';
import type { PollResult } from '../sync/poll-account.ts';
import { leaseSeconds } from './claim-batches.ts';

/** Writes what came of polls, many in one statement, whichever batches they belong to. */
interface PollBatchWriter {
  /** Resolves when the result is stored, or has timed out. */
  write(result: StorableResult): Promise<void>;
}

/** What is stored of a poll: the account's next state, and what is worth remembering. */
type StorableResult = Pick<PollResult, 'record' | 'note'>;

interface PollBatchWriterOptions {
  readonly db: Database;
  readonly appId: number;
  readonly log: Logger;
  /** How long results wait for Postgres. */
  readonly timeoutMs?: number;
  /** The database took a statement. */
  readonly onStored?: () => void;
  /** The database refused the results of some polls for good: their accounts are polled again once their leases end. */
  readonly onLost?: (refusal: Refusal, results: number) => void;
}

interface Waiting {
  readonly result: StorableResult;
  readonly since: number;
  readonly done: () => void;
}

/** Long enough to gather dozens of results at full budget, short enough to be nothing beside a poll interval. */
const gatherMs = 200;
const retryMs = 500;
/** Then the lease has ended, and another worker polls the account. */
const defaultTimeoutMs = leaseSeconds * 1000;

/** A writer that stores what it has every fifth of a second, and tries again while Postgres is away. */
export function createPollBatchWriter(options: PollBatchWriterOptions): PollBatchWriter {
  const { db, appId, log, timeoutMs = defaultTimeoutMs } = options;
  const batcher = createBatcher<Waiting>({ gatherMs, retryMs, store });

  async function store(batch: readonly Waiting[]): Promise<readonly Waiting[]> {
    try {
      await write(batch.map(({ result }) => result));
      for (const { done } of batch) done();
      return [];
    } catch (error) {
      return refusalOf(error).transient ? youngOf(batch, error) : storeOneByOne(batch);
    }
  }

  async function write(results: readonly StorableResult[]): Promise<void> {
    const records = results.flatMap((result) => result.record ?? []);
    const notes = results.flatMap((result) => result.note ?? []);
    await recordPolls(db, appId, records);
    await noteOutcomes(db, notes);
    options.onStored?.();
  }

  /** One result that can't be stored must not cost the others theirs. */
  async function storeOneByOne(batch: readonly Waiting[]): Promise<readonly Waiting[]> {
    for (const [index, { result, done }] of batch.entries()) {
      try {
        await write([result]);
      } catch (error) {
        const refusal = refusalOf(error);
        if (refusal.transient) return youngOf(batch.slice(index), error);
        // The log of refusals says it once, and `status` counts it.
        log.debug({ err: error, app: appId }, 'a result can’t be stored');
        options.onLost?.(refusal, 1);
      }
      done();
    }
    return [];
  }

  /** Those that may still be stored; the others time out. */
  function youngOf(batch: readonly Waiting[], error: unknown): readonly Waiting[] {
    const young = batch.filter(({ since }) => performance.now() - since < timeoutMs);
    const old = batch.filter((each) => !young.includes(each));
    for (const { done } of old) done();
    if (old.length > 0) {
      log.debug(
        { err: error, app: appId, results: old.length },
        'results timed out: postgres did not take them while their leases lasted',
      );
      options.onLost?.(refusalOf(error), old.length);
    }
    log.debug({ err: error, app: appId, results: young.length }, 'results wait for postgres');
    return young;
  }

  return {
    write({ record, note }) {
      if (record === undefined && note === undefined) return Promise.resolve();
      const result = { ...(record && { record }), ...(note && { note }) };
      return new Promise((done) => batcher.add({ result, since: performance.now(), done }));
    },
  };
}
