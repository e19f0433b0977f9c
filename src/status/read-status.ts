import type { Database } from '../../db/client.ts';
import { readActivity } from '../../db/queries/activity.ts';
import { readApps } from '../../db/queries/apps.ts';
import {
  type AccountFigures,
  type FailureReason,
  readAccountFigures,
  readFailureReasons,
} from '../../db/queries/status.ts';
import { remedyFor } from '../tencent/errors.ts';

/** How the mirror of every app is doing. `status --json` prints it as it is. */
export interface Status {
  readonly apps: readonly AppStatus[];
}

export interface AppStatus {
  readonly appId: number;
  /** `idle`: nobody has claimed accounts for ten seconds; is the daemon running? */
  readonly state: 'polling' | 'halted' | 'idle';
  readonly halt: HaltStatus | null;
  readonly accounts: Omit<AccountFigures, 'appId' | 'age' | 'overdue'>;
  readonly backlog: { readonly neverRead: number; readonly overdue: number };
  /** Seconds since the state of active accounts was last proved. */
  readonly ageSeconds: AccountFigures['age'];
  readonly calls: {
    /** Over the last whole minute. */
    readonly perSecond: number;
    readonly limit: number;
  };
  /** Polls of the last 15 minutes by outcome. */
  readonly outcomes: Readonly<Record<string, number>>;
  readonly failures: readonly Omit<FailureReason, 'appId'>[];
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
const rateSeconds = 60;
const outcomesSeconds = 900;

/** Gathers the status from the database alone, so that it can be had while the daemon is down. */
export async function readStatus(db: Database): Promise<Status> {
  const [apps, figures, recent, outcomes, failures] = await Promise.all([
    readApps(db),
    readAccountFigures(db),
    readActivity(db, rateSeconds),
    readActivity(db, outcomesSeconds),
    readFailureReasons(db),
  ]);
  return {
    apps: apps.map((app) => {
      const { appId } = app;
      const figure = figures.find((candidate) => candidate.appId === appId);
      const calls =
        recent.find((activity) => activity.appId === appId && activity.event === 'call')?.count ?? 0;
      return {
        appId,
        state:
          app.halt !== undefined
            ? 'halted'
            : (app.dispatchedAgo ?? Number.POSITIVE_INFINITY) > idleAfterSeconds
              ? 'idle'
              : 'polling',
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
        accounts: {
          total: figure?.total ?? 0,
          pending: figure?.pending ?? 0,
          active: figure?.active ?? 0,
          gone: figure?.gone ?? 0,
          quarantined: figure?.quarantined ?? 0,
          failing: figure?.failing ?? 0,
          awaitingConfirmation: figure?.awaitingConfirmation ?? 0,
        },
        backlog: { neverRead: figure?.pending ?? 0, overdue: figure?.overdue ?? 0 },
        ageSeconds: figure?.age ?? { p50: null, p95: null, p99: null, oldest: null },
        calls: { perSecond: calls / rateSeconds, limit: app.callsPerSecond },
        outcomes: Object.fromEntries(
          outcomes
            .filter((activity) => activity.appId === appId && activity.event !== 'call')
            .map((activity) => [activity.event, activity.count]),
        ),
        failures: failures
          .filter((failure) => failure.appId === appId)
          .map(({ kind, code, message, accounts }) => ({ kind, code, message, accounts })),
      };
    }),
  };
}
