import type { Slowed } from '../../db/queries/apps.ts';
import type { AccountStats, FailureReason } from '../../db/queries/status.ts';
import type { Share } from '../audit/accuracy.ts';
import type { DaemonStatus } from './daemons.ts';
import type { DelayStatus } from './delay.ts';
import type { ErrorClass } from './errors-by-class.ts';
import type { FirstRead } from './first-read.ts';
import type { RefusedWrites } from './refused-writes.ts';
import type { VendorFailing } from './vendor-failing.ts';

/** How the mirror of every app is doing. `status --json` prints it as it is. */
export interface Status {
  /** Set while Postgres refuses all writes, with what to do: nothing is polled meanwhile. */
  readonly postgres: string | null;
  /** The daemons that are connected to the database now, with and without work. */
  readonly daemons: readonly DaemonStatus[];
  readonly apps: readonly AppStatus[];
}

export interface AppStatus {
  readonly appId: number;
  /** What a person should look at, a sentence each; empty when all is well. */
  readonly problems: readonly string[];
  /**
   * `idle`: no daemon is running. `waiting`: one is, and has claimed no accounts for ten seconds, or can’t work.
   * `failing`: most calls to the vendor fail.
   */
  readonly state: 'polling' | 'halted' | 'idle' | 'waiting' | 'failing';
  /** Why daemons that are running claim no accounts, or can’t work; null when nothing is wrong, and when none is running. */
  readonly waiting: string | null;
  /** Whether any daemon is running. */
  readonly daemonRuns: boolean;
  readonly halt: HaltStatus | null;
  /** Set while most calls fail, as when the vendor can’t be reached. */
  readonly vendorFailing: VendorFailing | null;
  readonly accounts: Omit<AccountStats, 'appId' | 'age' | 'overdue' | 'due'>;
  readonly backlog: {
    readonly neverPolled: number;
    readonly overdue: number;
    /** What it takes to poll all accounts that are due, at the full budget. */
    readonly seconds: number;
  };
  /** What the polling policy achieves now, estimated once a minute from what accounts are known to do. */
  readonly delay: DelayStatus | null;
  /** Between which intervals accounts are polled. */
  readonly interval: {
    readonly minSeconds: number;
    readonly maxSeconds: number;
    /** What the budget allows of `maxSeconds`: the greater one when it gives way. */
    readonly effectiveMaxSeconds: number;
    /** POLL_MIN_INTERVAL, and not the budget, keeps accounts from being read more often. */
    readonly minHolds: boolean;
  };
  /** Set while accounts are read for the first time. */
  readonly firstRead: FirstRead | null;
  /** Seconds since the state of active accounts was last proved. */
  readonly ageSeconds: AccountStats['age'];
  readonly calls: {
    /** Over the last whole minute. */
    readonly perSecond: number;
    readonly limit: number;
    /** Set while the vendor’s alert makes all processes send less. */
    readonly slowed: Slowed | null;
  };
  /** Accounts that callbacks have named in the last 15 minutes, each at most once in a fifth of a second. */
  readonly hints: {
    readonly accounts: number;
    /** Named, and not enrolled. */
    readonly unknown: number;
    /** Enrolled because a callback or an answer named them. */
    readonly discovered: number;
    /** Not enrolled, because callbacks had named as many as DISCOVER_ACCOUNTS_PER_HOUR allows. */
    readonly leftOut: number;
  };
  /** Answers of the last 15 minutes that listed fewer friends than they counted. */
  readonly shortResponses: number;
  /** Jobs of another installation that were found in this one's queues and refused, in the last 15 minutes. */
  readonly foreignJobs: number;
  /** Polls of the last 15 minutes by outcome. */
  readonly outcomes: Readonly<Record<string, number>>;
  readonly failures: readonly Omit<FailureReason, 'appId'>[];
  /** What goes wrong, by class, with what to do about it. */
  readonly errors: readonly ErrorClass[];
  /** Writes of polls that Postgres refused in the last 15 minutes, by class of SQLSTATE, with what to do about it. */
  readonly refusedWrites: readonly RefusedWrites[];
  /** Set while removals wait for an operator. */
  readonly removalsHeld: {
    readonly since: string;
    /** Accounts that shrank, and how many were read in the same time, when the hold began. */
    readonly shrunk: number;
    readonly read: number;
    readonly windowSeconds: number;
  } | null;
  /** How the syncs of the source of accounts have gone; null where none has ever been tried. */
  readonly accountSource: AccountSourceStatus | null;
  /** How accounts taken at random in the last seven days compared with the vendor; null before the first. */
  readonly accuracy: AccuracyStatus | null;
  /** Why months of the change feed have no table; null while all have. The feed is one for all apps. */
  readonly monthsProblem: string | null;
  readonly sequence: {
    /** How the vendor treats an older sequence, as far as polls have shown. */
    readonly reading: 'full' | 'changed' | 'ignored' | 'unknown';
    /** False when content has changed under an equal sequence within a week. */
    readonly trusted: boolean;
    readonly evidence: Readonly<Record<string, number>>;
  };
}

export interface AccountSourceStatus {
  /** The last good sync. */
  readonly synced: {
    readonly at: string;
    readonly secondsAgo: number;
    /** Accounts that the source names. */
    readonly named: number;
    readonly badRows: number;
    readonly enrolled: number;
    /** Enrolled accounts that it has named and names no more. */
    readonly vanished: number;
    readonly removed: number;
  } | null;
  /** Set while syncs fail; `failure` is the last reason. */
  readonly failing: { readonly since: string; readonly at: string; readonly failure: string } | null;
  /** Since when a sync has been under way. */
  readonly runningSince: string | null;
}

/** Shares with their 95 % intervals. */
export interface AccuracyStatus {
  readonly checked: number;
  /** Accounts found to be wrong today or yesterday. */
  readonly wrongLately: number;
  /** Accounts whose rows were right, as far as the vendor had said that something changed. */
  readonly right: Share;
  /** Accounts whose rows were exactly what the vendor held at that moment. */
  readonly inSync: Share;
}

interface HaltStatus {
  readonly since: string;
  readonly kind: string;
  readonly code: number;
  /** The vendor's words. */
  readonly message: string;
  readonly remedy: string;
  readonly nextProbe: string;
}
