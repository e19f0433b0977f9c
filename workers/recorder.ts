import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '../db/client.ts';
import { isPassing } from '../db/connection-errors.ts';
import { noteOutcomes, recordPolls } from '../db/queries/poll-records.ts';
import type { Logger } from '../src/log.ts';
import { leaseSeconds } from '../src/sync/claim-batches.ts';
import type { PollResult } from '../src/sync/poll-account.ts';

/** Writes what came of polls, many in one statement, whichever batches they belong to. */
export interface Recorder {
  /** Resolves when the result is stored, or has been given up. */
  record(result: PollResult): Promise<void>;
}

export interface RecorderOptions {
  readonly db: Database;
  readonly appId: number;
  readonly log: Logger;
}

interface Waiting {
  readonly result: PollResult;
  readonly since: number;
  readonly done: () => void;
}

/** Long enough to gather dozens of results at full budget, short enough to be nothing beside a poll interval. */
const gatherMs = 200;
const retryMs = 500;
/** Then the lease has ended, and somebody else polls the account. */
const giveUpMs = leaseSeconds * 1000;

/** A recorder that stores what it has every fifth of a second, and tries again while Postgres is away. */
export function createRecorder({ db, appId, log }: RecorderOptions): Recorder {
  let waiting: Waiting[] = [];
  let flushing = false;

  /** Ends when nothing waits; it never fails, because `store` turns every failure into a result. */
  async function flush(): Promise<void> {
    if (flushing) return;
    flushing = true;
    while (waiting.length > 0) {
      // Before every statement: one that is sent for what came during the last would hold two or three results.
      await sleep(gatherMs);
      const batch = waiting;
      waiting = [];
      await store(batch);
    }
    flushing = false;
  }

  async function store(batch: readonly Waiting[]): Promise<void> {
    try {
      await write(batch.map(({ result }) => result));
      for (const { done } of batch) done();
    } catch (error) {
      if (!isPassing(error)) await storeOneByOne(batch);
      else await putBack(batch, error);
    }
  }

  async function write(results: readonly PollResult[]): Promise<void> {
    const records = results.flatMap((result) => result.record ?? []);
    const notes = results.flatMap((result) => result.note ?? []);
    await recordPolls(db, appId, records);
    await noteOutcomes(db, notes);
  }

  /** One result that can't be stored must not cost the others theirs. */
  async function storeOneByOne(batch: readonly Waiting[]): Promise<void> {
    for (const { result, done } of batch) {
      await write([result]).catch((error: unknown) =>
        log.error({ err: error, app: appId }, 'a result can’t be stored'),
      );
      done();
    }
  }

  async function putBack(batch: readonly Waiting[], error: unknown): Promise<void> {
    const young = batch.filter(({ since }) => performance.now() - since < giveUpMs);
    for (const each of batch) if (!young.includes(each)) each.done();
    log.debug({ err: error, app: appId, results: young.length }, 'results wait for postgres');
    waiting = [...young, ...waiting];
    if (young.length > 0) await sleep(retryMs);
  }

  return {
    record(result) {
      if (result.record === undefined && result.note === undefined) return Promise.resolve();
      return new Promise((done) => {
        waiting.push({ result, since: performance.now(), done });
        void flush();
      });
    },
  };
}
