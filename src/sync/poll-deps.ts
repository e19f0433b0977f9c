import type { Database } from '../../db/client.ts';
import type { Logger } from '../log.ts';
import type { QueueStats } from '../schedule/queue-stats.ts';
import type { TencentClient } from '../tencent/client.ts';
import type { StorageHealth } from './storage-health.ts';

/** When accounts of an app are read, in full and again. */
export interface PollPolicy {
  readonly queue: () => QueueStats;
  /** An account is read in full this often, because it is unknown which writes move its sequence. */
  readonly fullReadIntervalMs: () => number;
  /** After this a removal that exceeds the threshold is read again. */
  readonly confirmRemovalAfterMs: number;
}

/** Health of the whole app that affects single accounts. */
interface PollHealth {
  /** Whether a second response may be believed whose first came this many seconds ago: see `RemovalBreaker`. */
  readonly mayBelieve: (firstAgoSeconds: number) => Promise<boolean>;
  /** Calls fail for many accounts at present. */
  readonly vendorIsUnhealthy: () => boolean;
  /** Which writes the database takes. */
  readonly storage: StorageHealth;
}

/** What a poll works with. */
export interface PollDeps {
  readonly db: Database;
  readonly appId: number;
  readonly client: TencentClient;
  readonly policy: PollPolicy;
  readonly health: PollHealth;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  /** Postgres' time in milliseconds. */
  readonly now: () => number;
  /** A log whose `scrub` takes secrets out of text that is stored. */
  readonly output: { readonly log: Logger; readonly scrub: (text: string) => string };
}
