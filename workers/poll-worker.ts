import { setTimeout as sleep } from 'node:timers/promises';
import type { DatabaseClock } from '../db/clock.ts';
import type { AppRunner } from '../src/app/app-runner.ts';
import { leaseSeconds } from '../src/app/claim-batches.ts';
import type { Logger } from '../src/log.ts';
import { releaseLease } from '../src/sync/next-state.ts';
import { type JobWorker, pollBatch, type Queues } from './queues.ts';

interface PollWorkerDeps {
  readonly clock: DatabaseClock;
  readonly queues: Queues;
  /** Statements and transactions of this process that wait for a connection to Postgres. */
  readonly waitingForDatabase: () => number;
  readonly log: Logger;
}

/** Batches at once: with each a quarter of a second's budget and a second's timeout, five keep the budget busy. */
const concurrency = 6;
/** A batch ends this long after its last call was sent; calls that still hang then go on without it. */
const timeoutMs = 1000;
/** Calls under way in one process, those that hang included: at 190/s a vendor that always hangs for 8 s has 1,500. */
const mostUnderWay = 1500;
/**
 * What is read faster than it can be written waits for a connection, and after ten seconds it is thrown away and
 * read again. So nothing more is read while this many wait.
 */
const mostWaitingForDatabase = 50;

/** Polls batches of claimed accounts, each account for itself. */
export function startPollWorker(deps: PollWorkerDeps, runner: AppRunner): JobWorker {
  return deps.queues.work('poll', {
    appId: runner.appId,
    concurrency,
    async process(data) {
      const began = performance.now();
      await pollAll(deps, runner, data);
      runner.metrics.batchDone((performance.now() - began) / 1000);
    },
  });
}

/**
 * Polls a batch. Each result is stored as it comes, so an account whose call hangs holds up no other; it has its
 * lease, and the batch makes room for the next.
 */
async function pollAll(deps: PollWorkerDeps, runner: AppRunner, data: unknown): Promise<void> {
  const batch = pollBatch.parse(data);
  if (deps.clock.now() - batch.claimedAt > leaseSeconds * 1000) {
    // The leases have ended, so the accounts are due again: a call now would be dropped by its fencing token.
    deps.log.debug({ app: runner.appId, accounts: batch.accounts.length }, 'batch came too late');
    return;
  }
  if (runner.isHalted() && !batch.probe) {
    await Promise.all(batch.accounts.map((account) => runner.release(releaseLease(account))));
    return;
  }
  while (runner.underWay() > mostUnderWay || deps.waitingForDatabase() > mostWaitingForDatabase)
    await sleep(20);
  const sent: Promise<void>[] = [];
  const polls = batch.accounts.map((account) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    sent.push(promise);
    return runner.poll(account, resolve).finally(resolve);
  });
  const timeout = Promise.all(sent).then(() => sleep(timeoutMs, undefined, { ref: false }));
  await Promise.race([Promise.all(polls), timeout]);
}
