import type { Activity } from '../../db/queries/activity.ts';

/** How the first read of all accounts of an app gets on. */
export interface FirstRead {
  readonly left: number;
  /** Over the last whole minute. */
  readonly perSecond: number;
  /** Null when nothing is read, and while the app is halted or no daemon works. */
  readonly secondsLeft: number | null;
}

/** The window over which rates are measured. */
export const rateSeconds = 60;

/** How often something happened to an app, a second, in the last minute's activity. */
export function perSecondOf(recent: readonly Activity[], appId: number, event: string): number {
  const found = recent.find((activity) => activity.appId === appId && activity.event === event);
  return (found?.count ?? 0) / rateSeconds;
}

/** Null once every account has been read. The rate of the last minute means nothing for an app that does not poll now. */
export function firstReadOf(
  recent: readonly Activity[],
  appId: number,
  left: number,
  polls: boolean,
): FirstRead | null {
  if (left === 0) return null;
  const perSecond = perSecondOf(recent, appId, 'first_read');
  return { left, perSecond, secondsLeft: !polls || perSecond === 0 ? null : left / perSecond };
}
