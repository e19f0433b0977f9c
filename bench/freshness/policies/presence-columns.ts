import { type Estimate, type Observation, pollEvidence, presentRate } from '../../../src/schedule/policy.ts';
import {
  type AppPresence,
  addBackendEvidence,
  addSession,
  backendShare,
  type EvidencePoll,
  fadeBackendEvidence,
  isBlind,
  isWorthReadAtLogout,
  meanSessionSeconds,
  noBackendEvidence,
  noSessionEvidence,
  notedPresence,
  type Presence,
  type PresenceReport,
  rateByPresence,
} from '../../../src/schedule/presence.ts';

const dayMs = 86_400_000;

/**
 * What the daemon keeps of the presence of each account and of all together. Times in milliseconds. The backend's share is
 * measured, unless a test fixes it.
 */
export function createPresenceColumns(size: number, fixedBackendShare?: number) {
  const online = new Uint8Array(size);
  const reportedAt = new Float64Array(size).fill(Number.NaN);
  const onlineDays = new Float64Array(size);
  const shared = createShared(fixedBackendShare);

  const presenceOf = (account: number): Presence => {
    const reported = reportedAt[account] ?? Number.NaN;
    return {
      online: online[account] === 1,
      reportedAt: Number.isNaN(reported) ? undefined : reported,
      onlineDays: onlineDays[account] ?? 0,
    };
  };

  return {
    refresh: shared.refresh,
    app: shared.app,
    isReported: (account: number) => presenceOf(account).reportedAt !== undefined,

    /** The rate of the moment, from that of all hours. */
    present(account: number, rate: number, firstPolledAt: number, at: number): number {
      return rateByPresence({ rate, firstPolledAt }, presenceOf(account), shared.app(), at);
    },

    /** Before a poll is stored: what it says of the backend. */
    polled(account: number, estimate: Estimate, seen: Observation): void {
      const presence = presenceOf(account);
      if (presence.reportedAt === undefined) return;
      const evidence = pollEvidence(estimate, seen);
      const offline = !presence.online && presence.reportedAt <= (estimate.lastPolledAt ?? 0);
      if (evidence !== undefined) shared.polled({ ...evidence, offline });
    },

    /** Takes a report. Returns what was known before it; undefined where it says nothing new. */
    report(account: number, report: PresenceReport): Presence | undefined {
      const before = presenceOf(account);
      const after = notedPresence(before, shared.app(), report);
      shared.reported(report, before);
      if (after === undefined) return undefined;
      online[account] = Number(after.online);
      reportedAt[account] = after.reportedAt ?? Number.NaN;
      onlineDays[account] = after.onlineDays;
      return before;
    },

    /** Whether an account whose user has just left is worth a call; `before` is what `report` gave. */
    isWorthReading(
      account: number,
      before: Presence,
      estimate: Estimate,
      at: number,
      wait: { readonly dueInSeconds: number; readonly secondsPerUnit: number },
    ): boolean {
      const { firstPolledAt, lastPolledAt } = estimate;
      const rate = presentRate(estimate);
      if (rate === undefined || firstPolledAt === undefined || lastPolledAt === undefined) return false;
      const unreadFrom = Math.max(before.reportedAt ?? 0, lastPolledAt);
      const unreadSeconds = before.online ? (at - unreadFrom) / 1000 : undefined;
      const logout = { rate, firstPolledAt, unreadSeconds, ...wait };
      return isWorthReadAtLogout(logout, presenceOf(account), shared.app(), at);
    },
  };
}

/** What all accounts show together. */
function createShared(fixedBackendShare: number | undefined) {
  const reports = createReportMeter();
  let backend = noBackendEvidence;
  let fadedAt: number | undefined;
  let sessions = noSessionEvidence;
  let app: AppPresence = {
    backendShare: 1,
    sessionSeconds: meanSessionSeconds(sessions),
    since: 0,
    blind: false,
  };
  return {
    app: () => app,

    /** Keeps the shares as of `at`. Returns whether reports have just stopped, or have just come again. */
    refresh(at: number): boolean {
      if (fadedAt !== undefined) backend = fadeBackendEvidence(backend, (at - fadedAt) / dayMs);
      fadedAt = at;
      const wasBlind = app.blind;
      app = {
        backendShare: fixedBackendShare ?? backendShare(backend),
        sessionSeconds: meanSessionSeconds(sessions),
        since: reports.since() ?? at,
        blind: reports.areOverdue(at),
      };
      return app.blind !== wasBlind;
    },

    polled(poll: EvidencePoll): void {
      if (!app.blind) backend = addBackendEvidence(backend, poll);
    },

    reported(report: PresenceReport, { online, reportedAt }: Presence): void {
      reports.count(report);
      if (!online || report.online || reportedAt === undefined || report.at <= reportedAt) return;
      sessions = addSession(sessions, (report.at - reportedAt) / 1000);
    },
  };
}

/** How many reports come, so that their end is noticed. */
function createReportMeter() {
  let first: number | undefined;
  let last: number | undefined;
  let decayed = 0;
  let asked = false;
  return {
    since: () => first,
    count({ at, source }: PresenceReport): void {
      if (source === 'status') asked = true;
      first ??= at;
      decayed = decayed * Math.exp(-Math.max(0, at - (last ?? at)) / dayMs) + 1;
      last = Math.max(last ?? at, at);
    },
    areOverdue(at: number): boolean {
      if (asked || first === undefined || last === undefined) return false;
      // Of the day before the last report; at its end the sum is the mean of a day.
      const watched = 1 - Math.exp(-(last - first) / dayMs);
      const perSecond = watched <= 0 ? 0 : decayed / watched / (dayMs / 1000);
      return isBlind((at - last) / 1000, perSecond);
    },
  };
}
