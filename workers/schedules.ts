import type { Database } from '../db/client.ts';
import { readApps } from '../db/queries/apps.ts';
import { withTimeout } from '../src/lifecycle.ts';
import { tickMs } from './dispatch-worker.ts';
import { maintenanceMs } from './maintenance-worker.ts';
import type { JobQueue, Queues } from './queues.ts';

/** What comes again and again: the queues whose schedules every process sees to. */
export interface Schedules {
  readonly dispatch: readonly AppQueue[];
  readonly accounts: readonly AppQueue[];
  readonly accountsMs: number;
  readonly maintenance: JobQueue;
}

interface AppQueue {
  readonly appId: number;
  readonly queue: JobQueue;
}

/** How often schedules are looked at, and how long that may take. */
export const scheduleMs = 5000;
/** A dispatcher that has been silent for this long has lost its schedule: Redis was emptied, or a clock is off. */
const silentSeconds = 10;

/** Opens the queues of all apps, and those of accounts for the apps that have a source of them. */
export function openSchedules(
  queues: Queues,
  apps: readonly { readonly appId: number }[],
  sourced: readonly { readonly appId: number }[],
  accountsMs: number,
): Schedules {
  return {
    dispatch: apps.map(({ appId }) => ({ appId, queue: queues.open('dispatch', appId) })),
    accounts: sourced.map(({ appId }) => ({ appId, queue: queues.open('accounts', appId) })),
    accountsMs,
    maintenance: queues.open('maintenance'),
  };
}

/**
 * Where in the second an app's ticks lie: spread, for ten at once would hold up a process for longer than a slot can
 * wait. Multiples of the golden ratio lie apart, and ids of one company often follow each other.
 */
function phaseOf(appId: number): number {
  return 1 + Math.floor(((appId * 0.618_033_988_75) % 1) * (tickMs - 1));
}

/**
 * Makes the schedules that are missing, and makes again the one of an app for which no dispatch has been seen lately. An app
 * whose queues are away waits for the next round, and holds up no other.
 */
export async function keepSchedules(
  db: Database,
  schedules: Schedules,
  isThere: (appId: number | undefined) => boolean,
): Promise<void> {
  const rows = new Map((await readApps(db)).map((row) => [row.appId, row]));
  const dispatching = schedules.dispatch
    .filter(({ appId }) => isThere(appId))
    .map(({ appId, queue }) => {
      const silent = rows.get(appId)?.dispatchedAgo ?? 0;
      return queue.schedule(tickMs, silent > silentSeconds, phaseOf(appId));
    });
  const syncing = schedules.accounts
    .filter(({ appId }) => isThere(appId))
    .map(({ queue }) => queue.schedule(schedules.accountsMs, false));
  const keeping = isThere(undefined) ? [schedules.maintenance.schedule(maintenanceMs, false)] : [];
  await withTimeout(scheduleMs, Promise.all([...dispatching, ...syncing, ...keeping]));
}
