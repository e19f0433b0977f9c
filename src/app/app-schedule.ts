import type { AppRow } from '../../db/queries/apps.ts';
import type { PollConfig } from '../config/config.ts';
import type { QueueStats } from '../schedule/queue-stats.ts';
import { untrustedSeconds } from '../sync/sequence-evidence.ts';

/** What the policy knows of an app, as the database last said. */
interface AppSchedule {
  queue(): QueueStats;
  /** How often accounts are asked for everything: more often on an app on which a change came without a new sequence. */
  fullReadIntervalMs(): number;
  /** A change came without a new sequence. Returns whether that was not known yet. */
  noteSilentChange(): boolean;
  refresh(row: Pick<AppRow, 'silentChangeAgo' | 'accountCount' | 'weightSum'>): void;
}

/** Full reads come eight times as often while the sequence is not trusted, but at most hourly. */
const untrustedFactor = 8;
const shortestFullReadMs = 3_600_000;

/** The schedule of an app whose accounts are still to be counted by `refresh`. */
export function createAppSchedule(callsPerSecond: number, poll: PollConfig): AppSchedule {
  let sequenceTrusted = true;
  let silentChangeKnown = false;
  let queue: QueueStats = {
    accounts: 0,
    weightSum: 0,
    callsPerSecond,
    minIntervalSeconds: poll.minIntervalMs / 1000,
    maxIntervalSeconds: poll.maxIntervalMs / 1000,
  };
  return {
    queue: () => queue,
    fullReadIntervalMs() {
      const { fullReadIntervalMs: configured } = poll;
      return sequenceTrusted
        ? configured
        : Math.max(configured / untrustedFactor, Math.min(configured, shortestFullReadMs));
    },
    noteSilentChange() {
      const isNew = !silentChangeKnown;
      silentChangeKnown = true;
      return isNew;
    },
    refresh({ silentChangeAgo, accountCount, weightSum }) {
      silentChangeKnown ||= silentChangeAgo !== undefined;
      sequenceTrusted = silentChangeAgo === undefined || silentChangeAgo > untrustedSeconds;
      queue = { ...queue, accounts: accountCount, weightSum };
    },
  };
}
