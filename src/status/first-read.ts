import type { Activity } from '../../db/queries/activity.ts';

/** How the first read of all accounts of an app gets on. */
export interface FirstRead {
  readonly left: number;
  /** Over the last whole minute. */
  readonly perSecond: number;
  /** Null when nothing is read. */
  readonly secondsLeft: number | null;
}

/** Length of the stretch over which rates are told. */
export const rateSeconds = 60;

/** How often something happened to an app, a second, in the last minute's activity. */
export function perSecondOf(recent: readonly Activity[], appId: number, event: string): number {
  const found = recent.find((activity) => activity.appId === appId && activity.event === event);
  return (found?.count ?? 0) / rateSeconds;
}

/** Null once every account has been read. */
export function firstReadOf(recent: readonly Activity[], appId: number, left: number): FirstRead | null {
  if (left === 0) return null;
  const perSecond = perSecondOf(recent, appId, 'first_read');
  return { left, perSecond, secondsLeft: perSecond === 0 ? null : left / perSecond };
}
