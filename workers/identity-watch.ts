import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Database } from '../db/client.ts';
import { raiseBeat, renewInstallation } from '../db/queries/installation.ts';
import { redisTag } from '../src/config/redis-servers.ts';
import { StartError } from '../src/start-error.ts';

/** Sees that no other mirror works under this installation's identity on the same Redis. */
export interface IdentityWatch {
  /** Looks once. Throws StartError when the identity is another's; this database has a new one then. */
  look(): Promise<void>;
  /** Looks, and again after the time in which another would show itself, where there is any doubt. */
  lookTwice(): Promise<void>;
}

interface IdentityWatchOptions {
  readonly db: Database;
  readonly redis: Redis;
  readonly installationId: string;
  readonly everyMs?: number;
}

/** How often each process looks. */
export const identityMs = 5000;
const keptSeconds = 86_400;

/** Shows the beat, never a lower one than is shown. Returns the one shown before. */
const showScript = `
local shown = tonumber(redis.call('GET', KEYS[1]) or '0')
if tonumber(ARGV[1]) > shown then redis.call('SET', KEYS[1], ARGV[1], 'EX', ${keptSeconds}) end
return shown
`;

/**
 * A copy of the database down to its disk blocks (a snapshot of the disk, a point-in-time recovery beside the original)
 * has the original's identity. Each database raises a beat and shows it on Redis. What is shown was read from this
 * database first, so it is never above the beat, unless another database shows its own. One that a fail-over has set
 * back a little sees a higher beat too, but then it does not rise.
 */
export function createIdentityWatch(options: IdentityWatchOptions): IdentityWatch {
  const { db, redis, installationId, everyMs = identityMs } = options;
  const key = `${redisTag(undefined)}:installation:${installationId}`;
  let above: number | undefined;

  async function look(): Promise<void> {
    const shown = Number((await redis.get(key)) ?? 0);
    const { id, beat } = await raiseBeat(db);
    if (id !== installationId) throw takenError();
    if (shown < beat) {
      above = undefined;
      await redis.eval(showScript, 1, key, beat);
      return;
    }
    if (above !== undefined && shown > above) {
      await renewInstallation(db, installationId);
      throw takenError();
    }
    above = shown;
  }

  return {
    look,
    async lookTwice() {
      await look();
      if (above === undefined) return;
      await sleep(everyMs * 1.5);
      await look();
    },
  };
}

function takenError(): StartError {
  return new StartError(
    'Another mirror works on this Redis under the identity of this one, because one database is a copy of the other; this one has a new identity now, so start it again.',
  );
}
