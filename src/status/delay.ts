import type { AppRow } from '../../db/queries/apps.ts';

/** What the polling policy achieves now, estimated from what accounts are known to do. */
export interface DelayStatus {
  readonly changesPerDay: number;
  /** Changes that the vendor has and the tables have not, at a random moment of the last minute. */
  readonly changesMissing: number;
  /** From a change to its place in the tables, on average. */
  readonly meanSeconds: number;
  /** What round robin would give at this budget. */
  readonly roundRobinSeconds: number;
}

/** By Little's law the mean delay is what is missing, by how much comes; null before accounts have been read. */
export function delayOf(app: AppRow): DelayStatus | null {
  const { changesPerDay, changesMissing } = app;
  if (changesPerDay === 0) return null;
  return {
    changesPerDay,
    changesMissing,
    meanSeconds: (changesMissing / changesPerDay) * 86_400,
    roundRobinSeconds: app.accountCount / (2 * app.callsPerSecond),
  };
}
