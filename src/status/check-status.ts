import { count, duration } from '../terminal/numbers.ts';
import type { Status } from './status.ts';

/** As with ages, of which the target is one that 99 accounts of 100 meet. */
const neverPolledShare = 0.01;

/**
 * What is not well, a sentence each, for scripts: what the page counts as things to look at, and accounts that are
 * older than a target. Empty when all is well.
 */
export function checkStatus({ apps }: Status, maxAgeSeconds: number | undefined): readonly string[] {
  if (apps.length === 0) return ['There is no app yet.'];
  return apps.flatMap(({ appId, problems, accounts, ageSeconds: { p99 } }) => {
    const unread =
      maxAgeSeconds === undefined || accounts.neverPolled <= accounts.total * neverPolledShare
        ? []
        : [
            `${count(accounts.neverPolled)} of ${count(accounts.total)} accounts have never been read; the target is ${duration(maxAgeSeconds)}.`,
          ];
    const old =
      maxAgeSeconds === undefined || p99 === null || p99 <= maxAgeSeconds
        ? []
        : [
            `One account in a hundred was last proved ${duration(p99)} ago or longer; the target is ${duration(maxAgeSeconds)}.`,
          ];
    return [...problems, ...unread, ...old].map((sentence) => `app ${appId}: ${sentence}`);
  });
}
