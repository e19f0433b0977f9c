import type { Database } from '../db/client.ts';
import type { DatabaseClock } from '../db/clock.ts';
import type { AppRunner } from '../src/app/app-runner.ts';
import { claimBatches } from '../src/app/claim-batches.ts';
import type { Logger } from '../src/log.ts';
import { claimEverySeconds } from '../src/schedule/queue-stats.ts';
import type { JobQueue, JobWorker, PollBatch, Queues } from './queues.ts';

interface DispatchDeps {
  readonly db: Database;
  readonly clock: DatabaseClock;
  readonly queues: Queues;
  readonly log: Logger;
}

/** How often accounts are claimed. */
export const tickMs = claimEverySeconds * 1000;
/**
 * Jobs that wait or are being worked on, in all processes together: three seconds of budget. Seven keep the budget
 * busy, for each lasts its quarter of a second and a second's timeout; the others wait, or were a dead worker's.
 * A bound on those that wait alone would let every replica hoard accounts until their leases end.
 */
const unfinishedJobs = 12;

/** Accounts in one job: a quarter of a second's budget, which share the job's own cost of 49 µs. */
export function batchSize(callsPerSecond: number): number {
  return Math.ceil(callsPerSecond / 4);
}

/** Claims what is due and hands it on in batches, once a tick. Any replica may do any tick. */
export function startDispatchWorker(deps: DispatchDeps, runner: AppRunner, polls: JobQueue): JobWorker {
  return deps.queues.work('dispatch', {
    appId: runner.appId,
    concurrency: 1,
    process: () => dispatch(deps, runner, polls),
  });
}

/**
 * One tick. A process that dies between the claim and the queue loses nothing: the accounts are due again when
 * their lease ends.
 */
export async function dispatch(deps: DispatchDeps, runner: AppRunner, polls: JobQueue): Promise<void> {
  const size = batchSize(runner.callsPerSecond);
  const places = Math.max(0, unfinishedJobs - (await polls.countUnfinished())) * size;
  const claimedAt = deps.clock.now();
  const { accounts, probe } = await claimBatches(deps.db, runner.appId, places, Math.random);
  const batches: PollBatch[] = [];
  for (let start = 0; start < accounts.length; start += size) {
    batches.push({ claimedAt, probe, accounts: accounts.slice(start, start + size) });
  }
  await polls.add(batches);
  if (accounts.length > 0) deps.log.trace({ app: runner.appId, accounts: accounts.length }, 'dispatched');
}
