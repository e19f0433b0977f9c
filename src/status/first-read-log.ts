import type { Cache } from '../cache.ts';
import type { Logger } from '../log.ts';
import { formatFirstRead } from './format-status.ts';
import type { AppStats } from './read-stats.ts';
import type { Status } from './status.ts';

interface FirstReadLogDeps {
  /** Old by seconds: they only decide whether the status is worth reading. */
  readonly figures: Cache<readonly AppStats[]>;
  /** What the page and `status` show. */
  readonly status: Cache<Status>;
  readonly log: Logger;
}

/** How often the log says how far the first read of all accounts is. */
export const firstReadMs = 10_000;
/** Fewer are soon read, or fail for reasons of their own. */
const worthReporting = 100;

/** Logs at each call how far the first read of every app is, and once when an app has been read. */
export function createFirstReadLog({ figures, status, log }: FirstReadLogDeps): () => Promise<void> {
  const under = new Set<number>();
  return async () => {
    const crowded = (await figures.get()).some(({ accounts }) => accounts.never_polled >= worthReporting);
    if (!crowded && under.size === 0) return;
    for (const { appId, firstRead, accounts } of (await status.get()).apps) {
      if (firstRead !== null && firstRead.left >= worthReporting) {
        under.add(appId);
        log.info({ app: appId, ...firstRead }, `first read of all accounts: ${formatFirstRead(firstRead)}`);
      } else if (under.delete(appId)) {
        log.info({ app: appId, accounts: accounts.active }, 'first read of all accounts: done');
      }
    }
  };
}
