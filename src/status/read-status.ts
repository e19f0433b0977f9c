import type { Database } from '../../db/client.ts';
import { describeProblem, readOnlyProblem } from '../../db/database-problem.ts';
import { type AccountSourceRow, readAccountSources } from '../../db/queries/account-sources.ts';
import { isOutcome, readActivity } from '../../db/queries/activity.ts';
import { type AppRow, readApps } from '../../db/queries/apps.ts';
import { readAudits, type WeekOfAudits } from '../../db/queries/audit.ts';
import { readDaemons } from '../../db/queries/daemons.ts';
import { readMonthsProblem } from '../../db/queries/history.ts';
import { isReadOnly } from '../../db/queries/readiness.ts';
import { type EvidenceCount, readEvidence } from '../../db/queries/sequence-evidence.ts';
import { readAccountStats, readFailureReasons } from '../../db/queries/status.ts';
import { estimateShare } from '../audit/accuracy.ts';
import {
  effectiveMaxIntervalSeconds,
  isHeldByMinInterval,
  type QueueStats,
} from '../schedule/queue-stats.ts';
import { type SequenceObservation, untrustedSeconds } from '../sync/sequence-evidence.ts';
import { remedyFor } from '../tencent/errors.ts';
import { daemonStatus, formatWait, reportProblem } from './daemons.ts';
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
  const facts = await readFacts(db);
  const apps: AppStatus[] = [];
  // One after the other: many apps that fail at once must not take all connections.
  for (const app of facts.apps) {
    const ofApp = factsOf(app, facts);
    const { recent, failures, figure } = ofApp;
    const accounts = figure?.failing ?? 0;
    const status = statusOf(ofApp, await vendorFailingOf(db, app.appId, { recent, failures, accounts }));
    apps.push({ ...status, problems: problemsOf(status) });
  }
  return {
    postgres: facts.readOnly ? describeProblem(readOnlyProblem) : null,
    daemons: facts.daemons,
    apps,
  };
}

type Facts = Awaited<ReturnType<typeof readFacts>>;

async function readFacts(db: Database) {
  const [apps, figures, recent, outcomes, failures, audits, evidence, sources, ...rest] = await Promise.all([
    readApps(db),
    readAccountStats(db),
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
  const [monthsProblem, readOnly, sessions] = rest;
  const daemons = sessions.map(daemonStatus);
  return {
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
    daemons,
  };
}

type AppFacts = ReturnType<typeof factsOf>;

/** What was read of one app. */
function factsOf(app: AppRow, facts: Facts) {
  const ofApp = <Row extends { readonly appId: number }>(rows: readonly Row[]) =>
    rows.filter(({ appId }) => appId === app.appId);
  const { daemons, monthsProblem, recent } = facts;
  const [figure] = ofApp(facts.figures);
  const [audit] = ofApp(facts.audits);
  const [source] = ofApp(facts.sources);
  const outcomes = ofApp(facts.outcomes);
  const failures = ofApp(facts.failures);
  return {
    app,
    figure,
    recent,
    outcomes,
    failures,
    audit,
    evidence: ofApp(facts.evidence),
    source,
    monthsProblem,
    daemons,
  };
}

function statusOf(facts: AppFacts, vendorFailing: VendorFailing | null): Omit<AppStatus, 'problems'> {
  const { app, figure, recent, outcomes, daemons } = facts;
  const { appId } = app;
  const silent = (app.dispatchedAgo ?? Number.POSITIVE_INFINITY) > idleAfterSeconds;
  const waiting =
    (silent ? formatWait(daemons, app.dispatchedAgo !== undefined) : reportProblem(daemons)) ?? null;
  const state = stateOf(app, { silent, waiting, vendorFailing });
  const neverPolled = figure?.neverPolled ?? 0;
  const failures = facts.failures.map(({ outcome, code, message, accounts }) => ({
    outcome,
    code,
    message,
    accounts,
  }));
  const happened = (event: string) => outcomes.find((activity) => activity.event === event)?.count ?? 0;
  const counts = Object.fromEntries(
    outcomes.filter(({ event }) => isOutcome(event)).map(({ event, count }) => [event, count]),
  );
  return {
    appId,
    state,
    waiting,
    daemonRuns: daemons.length > 0,
    halt: haltOf(app),
    vendorFailing,
    accounts: accountsOf(figure),
    backlog: {
      neverPolled,
      overdue: figure?.overdue ?? 0,
      seconds: (neverPolled + (figure?.due ?? 0)) / app.callsPerSecond,
    },
    delay: delayOf(app),
    interval: intervalOf(app),
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
    shortResponses: happened('short_answer'),
    foreignJobs: happened('foreign_job'),
    outcomes: counts,
    failures,
    errors: errorsByClass(counts, failures),
    removalsHeld: app.hold === undefined ? null : { ...app.hold, since: app.hold.since.toISOString() },
    refusedWrites: refusedWritesOf(outcomes, appId),
    accountSource: accountSourceOf(facts.source),
    accuracy: accuracyOf(facts.audit),
    monthsProblem: facts.monthsProblem,
    sequence: sequenceOf(app.silentChangeAgo, facts.evidence),
  };
}

function haltOf({ halt }: AppRow): AppStatus['halt'] {
  if (halt === undefined) return null;
  return {
    since: halt.since.toISOString(),
    kind: halt.kind,
    code: halt.code,
    message: halt.message,
    remedy: remedyFor(halt.kind, halt.code),
    nextProbe: halt.probeAt.toISOString(),
  };
}

function accountsOf(figure: AppFacts['figure']): AppStatus['accounts'] {
  return {
    total: figure?.total ?? 0,
    neverPolled: figure?.neverPolled ?? 0,
    active: figure?.active ?? 0,
    gone: figure?.gone ?? 0,
    quarantined: figure?.quarantined ?? 0,
    failing: figure?.failing ?? 0,
    awaitingConfirmation: figure?.awaitingConfirmation ?? 0,
  };
}

function intervalOf(app: AppRow): AppStatus['interval'] {
  const queue = queueOf(app);
  return {
    minSeconds: app.minIntervalSeconds,
    maxSeconds: app.maxIntervalSeconds,
    effectiveMaxSeconds: effectiveMaxIntervalSeconds(queue),
    minHolds: isHeldByMinInterval(queue),
  };
}

function queueOf(app: AppRow): QueueStats {
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
    trusted: silentChangeAgo === undefined || silentChangeAgo > untrustedSeconds,
    evidence,
  };
}
