import type { Database } from '../db/client.ts';
import { readActivity } from '../db/queries/activity.ts';
import type { Cache } from '../src/cache.ts';
import type { Logger } from '../src/log.ts';
import { firstReadOf, rateSeconds } from '../src/status/first-read.ts';
import { tellFirstRead } from '../src/status/format-status.ts';
import type { AppFigures } from '../src/status/read-figures.ts';

export interface FirstReadLogDeps {
  readonly db: Database;
  readonly figures: Cache<readonly AppFigures[]>;
  readonly log: Logger;
}

/** How often it is told how the first read of all accounts gets on. */
export const firstReadMs = 10_000;
/** Fewer are soon read, or fail for reasons of their own. */
const worthTelling = 100;

/** Tells each time it is called how the first reads of every app get on, and once when an app has been read. */
export function createFirstReadLog({ db, figures, log }: FirstReadLogDeps): () => Promise<void> {
  const under = new Set<number>();
  return async () => {
    const apps = await figures.get();
    const crowded = apps.filter(({ accounts }) => accounts.pending >= worthTelling);
    const recent = crowded.length === 0 ? [] : await readActivity(db, rateSeconds);
    for (const { appId, accounts } of apps) {
      const firstRead = firstReadOf(recent, appId, accounts.pending);
      if (firstRead !== null && firstRead.left >= worthTelling) {
        under.add(appId);
        log.info({ app: appId, ...firstRead }, `first read of all accounts: ${tellFirstRead(firstRead)}`);
      } else if (under.delete(appId)) {
        log.info({ app: appId, accounts: accounts.active }, 'first read of all accounts: done');
      }
    }
  };
}
