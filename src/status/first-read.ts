import type { Activity } from '../../db/queries/activity.ts';

/** How far the first read of all accounts of an app is. */
export interface FirstRead {
  readonly left: number;
  /** Accounts of the app are polled at present. */
  readonly underWay: boolean;
  /** Over the last whole minute, or since the app was first polled; 0 while that is not known yet. */
  readonly perSecond: number;
  /** Null when nothing is read, and while the app is halted or no daemon works. */
  readonly secondsLeft: number | null;
}

/** The window over which rates are measured. */
export const rateSeconds = 60;

/** How often something happened to an app, a second, in the last minute's activity, or since the app's first. */
export function perSecondOf(recent: readonly Activity[], appId: number, event: string): number {
  const found = recent.find((activity) => activity.appId === appId && activity.event === event);
  return found === undefined ? 0 : found.count / found.seconds;
}

/** Null once every account has been read. The rate of the last minute means nothing for an app that does not poll now. */
export function firstReadOf(
  recent: readonly Activity[],
  appId: number,
  left: number,
  underWay: boolean,
): FirstRead | null {
  if (left === 0) return null;
  const perSecond = perSecondOf(recent, appId, 'first_read');
  return { left, underWay, perSecond, secondsLeft: !underWay || perSecond === 0 ? null : left / perSecond };
}
