import { sql } from 'kysely';
import type { Database } from '../../db/client.ts';
import { type AccountSourceRow, readAccountSources } from '../../db/queries/account-sources.ts';
import { type AppRow, readApps } from '../../db/queries/apps.ts';
import { readAudits, type WeekOfAudits } from '../../db/queries/audit.ts';
import {
  type AgeBucket,
  countAgeBuckets,
  countUnhealthyAccounts,
  type ProblemCounts,
} from '../../db/queries/figures.ts';
import { countMissingMonths, monthsAhead } from '../../db/queries/history.ts';
import { type DelayStatus, delayOf } from './delay.ts';
import { freshnessSeconds } from './freshness-seconds.ts';

/** How the mirror of one app is doing, at a price that does not grow with it: for metrics and for what is drawn. */
export interface AppStats {
  readonly appId: number;
  readonly accounts: Readonly<Record<AgeBucket['status'], number>>;
  readonly overdue: number;
  /** Undefined before the first read. */
  readonly oldestAgeSeconds: number | undefined;
  /** Active accounts younger than each of `freshnessSeconds`, and not younger than the one before; at last the others. */
  readonly freshness: readonly number[];
  readonly ageSumSeconds: number;
  readonly failing: number;
  readonly heldAccounts: number;
  readonly haltedSeconds: number;
  readonly heldSeconds: number;
  readonly dispatchedAgo: number | undefined;
  readonly audits: WeekOfAudits | undefined;
  readonly accountSource: AccountSourceRow | undefined;
  readonly delay: DelayStatus | null;
  /** Months of the change feed without a table; the same for all apps. */
  readonly missingMonths: number;
}

// Figures are worth no more: what takes longer is given up.
const timeoutMs = 5000;

/** Reads the figures of every app. `now` is Postgres' time in milliseconds. */
export async function readStats(db: Database, now: () => number): Promise<readonly AppStats[]> {
  return db.transaction().execute(async (trx) => {
    await sql`select set_config('statement_timeout', ${String(timeoutMs)}, true)`.execute(trx);
    const apps = await readApps(trx);
    const buckets = await countAgeBuckets(trx, freshnessSeconds);
    const problems = await countUnhealthyAccounts(trx);
    const audits = await readAudits(trx);
    const sources = await readAccountSources(trx);
    const missingMonths = await countMissingMonths(trx, monthsAhead);
    return apps.map((app) =>
      statsOf(
        app,
        buckets.filter(({ appId }) => appId === app.appId),
        problems.find(({ appId }) => appId === app.appId),
        audits.find(({ appId }) => appId === app.appId),
        sources.find(({ appId }) => appId === app.appId),
        missingMonths,
        now(),
      ),
    );
  });
}

function statsOf(
  app: AppRow,
  buckets: readonly AgeBucket[],
  problem: ProblemCounts | undefined,
  audits: WeekOfAudits | undefined,
  accountSource: AccountSourceRow | undefined,
  missingMonths: number,
  now: number,
): AppStats {
  const active = buckets.filter(({ status }) => status === 'active');
  const sinceSeconds = (start: Date | undefined) =>
    start === undefined ? 0 : Math.max((now - start.getTime()) / 1000, 0);
  return {
    appId: app.appId,
    accounts: {
      never_polled: sum(buckets.filter(({ status }) => status === 'never_polled')),
      active: sum(active),
      gone: problem?.gone ?? 0,
      quarantined: problem?.quarantined ?? 0,
    },
    overdue: sum(active.filter(({ overdue }) => overdue)),
    oldestAgeSeconds: active.length === 0 ? undefined : Math.max(...active.map(({ ageMax }) => ageMax)),
    freshness: [...freshnessSeconds, Number.POSITIVE_INFINITY].map((_, index) =>
      sum(active.filter(({ bucket }) => bucket === index)),
    ),
    ageSumSeconds: active.reduce((total, { ageSum }) => total + ageSum, 0),
    failing: problem?.failing ?? 0,
    heldAccounts: problem?.held ?? 0,
    haltedSeconds: sinceSeconds(app.halt?.since),
    heldSeconds: sinceSeconds(app.hold?.since),
    dispatchedAgo: app.dispatchedAgo,
    audits,
    accountSource,
    delay: delayOf(app),
    missingMonths,
  };
}

function sum(buckets: readonly AgeBucket[]): number {
  return buckets.reduce((total, { accounts }) => total + accounts, 0);
}
