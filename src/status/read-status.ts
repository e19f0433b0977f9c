import type { Database } from '../../db/client.ts';
import { describeTrouble, readOnlyTrouble } from '../../db/database-trouble.ts';
import { type AccountSourceRow, readAccountSources } from '../../db/queries/account-sources.ts';
import { isOutcome, readActivity } from '../../db/queries/activity.ts';
import { type AppRow, readApps, type Slowed } from '../../db/queries/apps.ts';
import { readAudits, type WeekOfAudits } from '../../db/queries/audit.ts';
import { readDaemons } from '../../db/queries/daemons.ts';
import { readMonthsProblem } from '../../db/queries/history.ts';
import { isReadOnly } from '../../db/queries/readiness.ts';
import { type EvidenceCount, readEvidence } from '../../db/queries/sequence-evidence.ts';
import {
  type AccountFigures,
  type FailureReason,
  readAccountFigures,
  readFailureReasons,
} from '../../db/queries/status.ts';
import { estimateShare, type Share } from '../audit/accuracy.ts';
import { effectiveMaxIntervalSeconds, isHeldByMinInterval, type Line } from '../schedule/line.ts';
import { mistrustSeconds, type SequenceObservation } from '../sync/sequence-evidence.ts';
import { remedyFor } from '../tencent/errors.ts';
import { type DaemonStatus, daemonStatus, tellTrouble, tellWait } from './daemons.ts';
import { type DelayStatus, delayOf } from './delay.ts';
import { type ErrorClass, errorsByClass } from './errors-by-class.ts';
import { type FirstRead, firstReadOf, perSecondOf, rateSeconds } from './first-read.ts';
import { problemsOf } from './problems.ts';
import { type RefusedWrites, refusedWritesOf } from './refused-writes.ts';
import { type VendorFailing, vendorFailingOf } from './vendor-failing.ts';

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
  readonly accounts: Omit<AccountFigures, 'appId' | 'age' | 'overdue' | 'due'>;
  readonly backlog: {
    readonly neverPolled: number;
    readonly overdue: number;
    /** What it takes to serve everybody whose turn has come, at the full budget. */
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
  readonly ageSeconds: AccountFigures['age'];
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
  readonly shortAnswers: number;
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
    /** Accounts that shrank, of so many that were read within a time, when the hold began. */
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
  /** Accounts whose rows were right, as far as the vendor had told that something changed. */
  readonly right: Share;
  /** Accounts whose rows were exactly what the vendor held at that moment. */
  readonly inSync: Share;
}

export interface HaltStatus {
  readonly since: string;
  readonly kind: string;
  readonly code: number;
  /** The vendor's words. */
  readonly message: string;
  readonly remedy: string;
  readonly nextProbe: string;
}

const idleAfterSeconds = 10;
const outcomesSeconds = 900;

/** Gathers the status from the database alone, so that it can be had while the daemon is down. */
export async function readStatus(db: Database): Promise<Status> {
  const [
    apps,
    figures,
    recent,
    outcomes,
    failures,
    audits,
    evidence,
    sources,
    monthsProblem,
    readOnly,
    sessions,
  ] = await Promise.all([
    readApps(db),
    readAccountFigures(db),
    readActivity(db, rateSeconds),
    readActivity(db, outcomesSeconds),
    readFailureReasons(db),
    readAudits(db),
    readEvidence(db),
    readAccountSources(db),
    readMonthsProblem(db),
    isReadOnly(db),
    readDaemons(db),
  ]);
  const daemons = sessions.map(daemonStatus);
  const failing = new Map<number, VendorFailing | null>();
  for (const { appId } of apps) {
    const accounts = figures.find((figure) => figure.appId === appId)?.failing ?? 0;
    const ofApp = failures.filter((failure) => failure.appId === appId);
    failing.set(appId, await vendorFailingOf(db, appId, { recent, failures: ofApp, accounts }));
  }
  return {
    postgres: readOnly ? describeTrouble(readOnlyTrouble) : null,
    daemons,
    apps: apps.map((app) => {
      const { appId } = app;
      const figure = figures.find((candidate) => candidate.appId === appId);
      const vendorFailing = failing.get(appId) ?? null;
      const silent = (app.dispatchedAgo ?? Number.POSITIVE_INFINITY) > idleAfterSeconds;
      const waiting =
        (silent ? tellWait(daemons, app.dispatchedAgo !== undefined) : tellTrouble(daemons)) ?? null;
      const state = stateOf(app, { silent, waiting, vendorFailing });
      const neverPolled = figure?.neverPolled ?? 0;
      const outcomesOfApp = Object.fromEntries(
        outcomes
          .filter((activity) => activity.appId === appId && isOutcome(activity.event))
          .map((activity) => [activity.event, activity.count]),
      );
      const happened = (event: string) =>
        outcomes.find((activity) => activity.appId === appId && activity.event === event)?.count ?? 0;
      const failuresOfApp = failures
        .filter((failure) => failure.appId === appId)
        .map(({ outcome, code, message, accounts }) => ({ outcome, code, message, accounts }));
      const status: Omit<AppStatus, 'problems'> = {
        appId,
        state,
        waiting,
        daemonRuns: daemons.length > 0,
        halt:
          app.halt === undefined
            ? null
            : {
                since: app.halt.since.toISOString(),
                kind: app.halt.kind,
                code: app.halt.code,
                message: app.halt.message,
                remedy: remedyFor(app.halt.kind, app.halt.code),
                nextProbe: app.halt.probeAt.toISOString(),
              },
        vendorFailing,
        accounts: {
          total: figure?.total ?? 0,
          neverPolled: figure?.neverPolled ?? 0,
          active: figure?.active ?? 0,
          gone: figure?.gone ?? 0,
          quarantined: figure?.quarantined ?? 0,
          failing: figure?.failing ?? 0,
          awaitingConfirmation: figure?.awaitingConfirmation ?? 0,
        },
        backlog: {
          neverPolled,
          overdue: figure?.overdue ?? 0,
          seconds: ((figure?.neverPolled ?? 0) + (figure?.due ?? 0)) / app.callsPerSecond,
        },
        delay: delayOf(app),
        interval: {
          minSeconds: app.minIntervalSeconds,
          maxSeconds: app.maxIntervalSeconds,
          effectiveMaxSeconds: effectiveMaxIntervalSeconds(lineOf(app)),
          minHolds: isHeldByMinInterval(lineOf(app)),
        },
        firstRead: firstReadOf(recent, appId, neverPolled, state === 'polling'),
        ageSeconds: figure?.age ?? { p50: null, p95: null, p99: null, oldest: null },
        calls: {
          perSecond: perSecondOf(recent, appId, 'call'),
          limit: app.callsPerSecond,
          slowed: app.slowed ?? null,
        },
        hints: {
          accounts: happened('hinted'),
          unknown: happened('hint_unknown'),
          discovered: happened('discovered'),
          leftOut: happened('discovery_left_out'),
        },
        shortAnswers: happened('short_answer'),
        foreignJobs: happened('foreign_job'),
        outcomes: outcomesOfApp,
        failures: failuresOfApp,
        errors: errorsByClass(outcomesOfApp, failuresOfApp),
        removalsHeld: app.hold === undefined ? null : { ...app.hold, since: app.hold.since.toISOString() },
        refusedWrites: refusedWritesOf(outcomes, appId),
        accountSource: accountSourceOf(sources.find((source) => source.appId === appId)),
        accuracy: accuracyOf(audits.find((audit) => audit.appId === appId)),
        monthsProblem,
        sequence: sequenceOf(
          app.silentChangeAgo,
          evidence.filter((each) => each.appId === appId),
        ),
      };
      return { ...status, problems: problemsOf(status) };
    }),
  };
}

function lineOf(app: AppRow): Line {
  const { accountCount: accounts, weightSum, callsPerSecond, minIntervalSeconds, maxIntervalSeconds } = app;
  return { accounts, weightSum, callsPerSecond, minIntervalSeconds, maxIntervalSeconds };
}

function stateOf(
  app: AppRow,
  facts: {
    readonly silent: boolean;
    readonly waiting: string | null;
    readonly vendorFailing: VendorFailing | null;
  },
): AppStatus['state'] {
  if (app.halt !== undefined) return 'halted';
  if (facts.silent) return facts.waiting === null ? 'idle' : 'waiting';
  return facts.vendorFailing === null ? 'polling' : 'failing';
}

function accountSourceOf(row: AccountSourceRow | undefined): AccountSourceStatus | null {
  if (row === undefined) return null;
  const { syncedAt, failingSince, failedAt, failure } = row;
  return {
    synced:
      syncedAt === null
        ? null
        : {
            at: syncedAt.toISOString(),
            secondsAgo: row.syncedAgo ?? 0,
            named: row.named ?? 0,
            badRows: row.bad ?? 0,
            enrolled: row.enrolled ?? 0,
            vanished: row.vanished ?? 0,
            removed: row.removed ?? 0,
          },
    failing:
      failingSince === null || failedAt === null || failure === null
        ? null
        : { since: failingSince.toISOString(), at: failedAt.toISOString(), failure },
    runningSince: row.runningSince?.toISOString() ?? null,
  };
}

function accuracyOf(audit: WeekOfAudits | undefined): AccuracyStatus | null {
  if (audit === undefined) return null;
  const { checked, stale, wrong, wrongLately } = audit;
  const right = estimateShare(checked - wrong, checked);
  const inSync = estimateShare(checked - wrong - stale, checked);
  return right === undefined || inSync === undefined ? null : { checked, wrongLately, right, inSync };
}

function sequenceOf(
  silentChangeAgo: number | undefined,
  counts: readonly EvidenceCount[],
): AppStatus['sequence'] {
  const evidence = Object.fromEntries(counts.map(({ observation, count }) => [observation, count]));
  const seen = (observation: SequenceObservation) => evidence[observation] ?? 0;
  // One answer of another kind may be a fault; the more frequent one is the rule.
  const ignored = seen('same_told_all') > seen('same_told_nothing');
  const [all, changes] = [seen('older_told_all'), seen('older_told_changes')];
  return {
    reading: ignored ? 'ignored' : all + changes === 0 ? 'unknown' : all > changes ? 'full' : 'changed',
    trusted: silentChangeAgo === undefined || silentChangeAgo > mistrustSeconds,
    evidence,
  };
}
