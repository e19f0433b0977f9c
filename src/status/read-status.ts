import type { Database } from '../../db/client.ts';
import { describeTrouble, readOnlyTrouble } from '../../db/database-trouble.ts';
import { type AccountSourceRow, readAccountSources } from '../../db/queries/account-sources.ts';
import { isOutcome, readActivity } from '../../db/queries/activity.ts';
import { type AppRow, readApps } from '../../db/queries/apps.ts';
import { readAudits, type WeekOfAudits } from '../../db/queries/audit.ts';
import { readDaemons } from '../../db/queries/daemons.ts';
import { readMonthsProblem } from '../../db/queries/history.ts';
import { isReadOnly } from '../../db/queries/readiness.ts';
import { type EvidenceCount, readEvidence } from '../../db/queries/sequence-evidence.ts';
import { readAccountFigures, readFailureReasons } from '../../db/queries/status.ts';
import { estimateShare } from '../audit/accuracy.ts';
import { effectiveMaxIntervalSeconds, isHeldByMinInterval, type Line } from '../schedule/line.ts';
import { mistrustSeconds, type SequenceObservation } from '../sync/sequence-evidence.ts';
import { remedyFor } from '../tencent/errors.ts';
import { daemonStatus, tellTrouble, tellWait } from './daemons.ts';
import { delayOf } from './delay.ts';
import { errorsByClass } from './errors-by-class.ts';
import { firstReadOf, perSecondOf, rateSeconds } from './first-read.ts';
import { problemsOf } from './problems.ts';
import { refusedWritesOf } from './refused-writes.ts';
import type { AccountSourceStatus, AccuracyStatus, AppStatus, Status } from './status.ts';
import { type VendorFailing, vendorFailingOf } from './vendor-failing.ts';

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
