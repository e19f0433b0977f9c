import type { Cache } from '../cache.ts';
import type { Logger } from '../log.ts';
import { tellFirstRead } from './format-status.ts';
import type { AppFigures } from './read-figures.ts';
import type { Status } from './status.ts';

export interface FirstReadLogDeps {
  /** Old by seconds: they only decide whether the status is worth reading. */
  readonly figures: Cache<readonly AppFigures[]>;
  /** What the page and `status` show. */
  readonly status: Cache<Status>;
  readonly log: Logger;
}

/** How often it is told how the first read of all accounts gets on. */
export const firstReadMs = 10_000;
/** Fewer are soon read, or fail for reasons of their own. */
const worthTelling = 100;

/** Tells each time it is called how the first reads of every app get on, and once when an app has been read. */
export function createFirstReadLog({ figures, status, log }: FirstReadLogDeps): () => Promise<void> {
  const under = new Set<number>();
  return async () => {
    const crowded = (await figures.get()).some(({ accounts }) => accounts.never_polled >= worthTelling);
    if (!crowded && under.size === 0) return;
    for (const { appId, firstRead, accounts } of (await status.get()).apps) {
      if (firstRead !== null && firstRead.left >= worthTelling) {
        under.add(appId);
        log.info({ app: appId, ...firstRead }, `first read of all accounts: ${tellFirstRead(firstRead)}`);
      } else if (under.delete(appId)) {
        log.info({ app: appId, accounts: accounts.active }, 'first read of all accounts: done');
      }
    }
  };
}
