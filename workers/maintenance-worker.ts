import type { Database } from '../db/client.ts';
import { dropOldActivity } from '../db/queries/activity.ts';
import { countQueue } from '../db/queries/count-queue.ts';
import { continueFeed, describeJump } from '../db/queries/feed.ts';
import {
  deleteOldHistory,
  dropChangePartition,
  ensureChangePartitions,
  findOldChangePartitions,
  monthsAhead,
} from '../db/queries/history.ts';
import { dropOldShrunk } from '../db/queries/shrunk-accounts.ts';
import type { AppRunner } from '../src/app/app-runner.ts';
import type { Logger } from '../src/log.ts';
import { rateRule } from '../src/schedule/policy.ts';
import type { JobWorker, Queues } from './queues.ts';

interface MaintenanceDeps {
  readonly db: Database;
  /** Connections past any pooler, for statements that need a setting of the session. */
  readonly direct: Database;
  readonly queues: Queues;
  readonly log: Logger;
  readonly runners: readonly AppRunner[];
  /** Undefined keeps history for ever. */
  readonly historyRetentionMs: number | undefined;
  /** How long a round waits for those who read what is to go. */
  readonly readerWaitMs?: number;
}

/** How often the queue is counted and the house is kept. */
export const maintenanceMs = 60_000;
/** A round is a minute, and has other things to do. */
const defaultReaderWaitMs = 5000;
const rowsAtOnce = 10_000;
const dayMs = 86_400_000;

/**
 * Counts the queues, makes partitions ahead, forgets what is old enough, and compares a sample with the vendor; once
 * a minute, by any replica.
 */
export function startMaintenanceWorker(deps: MaintenanceDeps): JobWorker {
  return deps.queues.work('maintenance', {
    concurrency: 1,
    async process() {
      await maintain(deps);
      await Promise.all(deps.runners.map((runner) => runner.audit(maintenanceMs / 1000)));
    },
  });
}

/** One round. Each step works by itself, so the next round makes up for one that was cut short. */
export async function maintain(deps: Omit<MaintenanceDeps, 'queues'>): Promise<void> {
  const { db, log } = deps;
  for (const { appId } of deps.runners) await countQueue(db, appId, rateRule);
  for (const { sentence } of (await ensureChangePartitions(db, monthsAhead)).problems) log.warn(sentence);
  // A restored database may take the place of the one that this daemon began with.
  const jump = await continueFeed(db);
  if (jump !== undefined) log.warn(describeJump(jump));
  await dropOldActivity(db);
  await dropOldShrunk(db);
  if (deps.historyRetentionMs === undefined) return;

  const days = deps.historyRetentionMs / dayMs;
  for (const partition of await findOldChangePartitions(db, days)) {
    const { name } = partition;
    const dropped = await dropChangePartition(
      deps.direct,
      partition,
      deps.readerWaitMs ?? defaultReaderWaitMs,
    );
    log.info({ partition: name }, dropped ? 'old changes dropped' : 'old changes are still being read');
    // The others can't go before it has gone.
    if (!dropped) break;
  }
  // A few steps a round: what is left waits a minute.
  for (let step = 0; step < 20; step += 1) {
    if ((await deleteOldHistory(db, days, rowsAtOnce)) < rowsAtOnce) break;
  }
}
