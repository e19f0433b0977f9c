import type { Database } from '../db/client.ts';
import type { DatabaseClock } from '../db/clock.ts';
import { noteOutcomes, recordPolls } from '../db/queries/poll-records.ts';
import type { Logger } from '../src/log.ts';
import { leaseSeconds } from '../src/sync/claim-batches.ts';
import { unpolled } from '../src/sync/next-state.ts';
import type { Lane } from './lane.ts';
import { type JobWorker, pollBatch, type Queues } from './queues.ts';

export interface PollWorkerDeps {
  readonly db: Database;
  readonly clock: DatabaseClock;
  readonly queues: Queues;
  readonly log: Logger;
}

/** Batches at once: 800 calls in flight keep half of the budget busy even when each one hangs for 8 s. */
const concurrency = 16;

/** Polls batches of claimed accounts, each account for itself, and records what came of them together. */
export function startPollWorker(deps: PollWorkerDeps, lane: Lane): JobWorker {
  return deps.queues.work('poll', {
    appId: lane.appId,
    concurrency,
    process: (data) => pollAll(deps, lane, data),
  });
}

async function pollAll(deps: PollWorkerDeps, lane: Lane, data: unknown): Promise<void> {
  const batch = pollBatch.parse(data);
  if (deps.clock.now() - batch.claimedAt > leaseSeconds * 1000) {
    // The leases have ended, so the accounts are due again: a call now would be dropped by its fencing token.
    deps.log.debug({ app: lane.appId, accounts: batch.accounts.length }, 'batch came too late');
    return;
  }
  if (lane.isHalted() && !batch.probe) {
    await recordPolls(deps.db, lane.appId, batch.accounts.map(unpolled));
    return;
  }
  // No poll throws: one failing account never fails its batch.
  const results = await Promise.all(batch.accounts.map((account) => lane.poll(account)));
  await recordPolls(
    deps.db,
    lane.appId,
    results.flatMap((result) => result.record ?? []),
  );
  await noteOutcomes(
    deps.db,
    results.flatMap((result) => result.note ?? []),
  );
}
