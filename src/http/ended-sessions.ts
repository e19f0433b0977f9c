import type { Database } from '../../db/client.ts';
import { endSession, readEndedSessions } from '../../db/queries/ended-sessions.ts';
import { createCache } from '../cache.ts';
import { within } from '../lifecycle.ts';
import type { Logger } from '../log.ts';
import type { Session } from './session.ts';

/** The sessions that were logged out, in whichever replica. */
export interface EndedSessions {
  /** Whether a session was logged out; another replica knows it within a second. */
  has(session: Session): Promise<boolean>;
  /** Ends a session, here at once and for all replicas with Postgres' help. */
  end(session: Session): Promise<void>;
}

const keepMs = 1000;
/** The page is what people look at while Postgres hangs. */
const timeoutMs = 1000;

/** While Postgres is away, what was known last counts. */
export function createEndedSessions(db: Database, log: Logger): EndedSessions {
  const here = new Map<string, number>();
  const everywhere = createCache({ keepMs, timesItsCost: 0, read: () => readEndedSessions(db) });

  return {
    async has({ id }) {
      if (here.has(id)) return true;
      await within(
        timeoutMs,
        everywhere.get().catch(() => undefined),
      );
      return everywhere.latest()?.value.has(id) ?? false;
    },
    async end({ id, endsMs }) {
      const now = Date.now();
      for (const [old, ends] of here) if (ends < now) here.delete(old);
      here.set(id, endsMs);
      await endSession(db, id, new Date(endsMs)).catch((error: unknown) =>
        log.warn(
          { err: error },
          'a session was logged out in this replica only: Postgres did not take it; a new ADMIN_TOKEN ends it everywhere',
        ),
      );
    },
  };
}
