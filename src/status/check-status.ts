import { duration } from './format-status.ts';
import type { Status } from './status.ts';

/**
 * What is not well, a sentence each, for scripts: what the page counts as things to look at, and accounts that are
 * older than a target. Empty when all is well.
 */
export function checkStatus({ apps }: Status, maxAgeSeconds: number | undefined): readonly string[] {
  if (apps.length === 0) return ['There is no app yet.'];
  return apps.flatMap(({ appId, problems, ageSeconds: { p99 } }) => {
    const old =
      maxAgeSeconds === undefined || (p99 !== null && p99 <= maxAgeSeconds)
        ? []
        : [
            p99 === null
              ? 'No account has been read yet.'
              : `One account in a hundred was last proved ${duration(p99)} ago or longer; the target is ${duration(maxAgeSeconds)}.`,
          ];
    return [...problems, ...old].map((sentence) => `app ${appId}: ${sentence}`);
  });
}
