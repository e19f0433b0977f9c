import { memoryDays } from './policy.ts';

/** What is known of whether the user of an account is logged in. Times in milliseconds. */
export interface Presence {
  readonly online: boolean;
  /** When the last login or logout was reported; undefined: never, and then the account is polled as if presence did not exist. */
  readonly reportedAt: number | undefined;
  /** Days online, forgotten like the changes seen, as of `reportedAt`. */
  readonly onlineDays: number;
}

/** What is known of the users of an app together. */
export interface AppPresence {
  /** The share of changes that are made while the user is offline, by the app's backend (`q`). */
  readonly backendShare: number;
  /** How long a session lasts on average (`ℓ`). */
  readonly sessionSeconds: number;
  /** Since when presence is reported; milliseconds. */
  readonly since: number;
  /** Whether reports have stopped: then presence counts for nothing. */
  readonly blind: boolean;
}

/** The rates of an account, in changes a day, by what is known of its user. */
interface SplitRate {
  readonly online: number;
  readonly offline: number;
}

const dayMs = 86_400_000;
const daySeconds = 86_400;

/** The prior of the share of time online: as if 0.0025 of 0.05 days had been spent online, 5 %. */
const priorOnlineDays = 0.0025;
const priorWatchedDays = 0.05;
/** A share below this is not believed: the weight would grow beyond what a lost report could do harm with. */
const leastOnlineShare = 0.003;
/** A session longer than this many mean ones is taken for one whose end was not reported. */
const longestSessions = 10;

/** Polls start as if 20 changes had been found offline, and 20 expected: q = 1, today's polls. */
const firstEvidence = 20;
/** Days after which a poll's evidence of the backend's share counts for a third; half of it after 1.4 days. */
const evidenceDays = 2;
/** What keeps the ratio of two small sums near one. */
const evidencePrior = 2;
/** A smaller share of the backend is not believed: its changes would wait for the floor. */
const leastBackendShare = 0.01;

/** The mean session before one was seen to its end, and how much evidence it counts for. */
const firstSessionSeconds = 1200;
const firstSessions = 10;
/** How many sessions the mean remembers. */
const rememberedSessions = 10_000;

/** Reports have stopped when none came for as long as this, and as many as these were to be expected. */
const blindAfterSeconds = 300;
const blindAfterReports = 50;

/** An account is not read at a logout sooner than this after its last read. */
export const logoutPauseSeconds = 5;
/** The user of an account is reckoned to stay away for this long at least. */
const shortestAwaySeconds = 600;
/** How much longer than reckoned a change may wait: rates are clipped and quiet periods believed, so they err low. */
const worthFactor = 2;

/** Whether the account counts as online at `at`: a session that lasts ten times as long as usual has ended unreported. */
export function isOnline(presence: Presence, app: AppPresence, at: number): boolean {
  return (
    presence.online &&
    presence.reportedAt !== undefined &&
    at - presence.reportedAt <= longestSessions * app.sessionSeconds * 1000
  );
}

/** A login or logout that a callback reports, or what the vendor said when it was asked. */
export interface PresenceReport {
  readonly source: 'callback' | 'status';
  readonly online: boolean;
  /** When it happened; milliseconds. */
  readonly at: number;
}

/** What is known after a report. Undefined where it says nothing new, or comes after a later one. */
export function notedPresence(
  presence: Presence,
  app: AppPresence,
  report: PresenceReport,
): Presence | undefined {
  const { reportedAt, online } = presence;
  if (reportedAt !== undefined && report.at <= reportedAt) return undefined;
  const onlineDays = onlineDaysAt(presence, app, report.at);
  const noted = { online: report.online, reportedAt: report.at, onlineDays };
  if (reportedAt === undefined || online !== report.online) return noted;
  if (report.online) {
    // One that is confirmed again and again is written before it would be taken for a session whose end was lost.
    const confirmedMs = report.at - reportedAt;
    return confirmedMs < (longestSessions / 2) * app.sessionSeconds * 1000 ? undefined : noted;
  }
  if (report.source === 'status') return undefined;
  // A logout of one who was not known to be online: his login was lost, or he has left with his last device.
  const session = days(Math.min(app.sessionSeconds * 1000, report.at - reportedAt));
  return { ...noted, onlineDays: onlineDays + memoryDays * (1 - decay(session)) };
}

/** Whether reports have stopped: none for five minutes in which 50 were to be expected. */
export function isBlind(silentSeconds: number, reportsPerSecond: number): boolean {
  return silentSeconds >= blindAfterSeconds && silentSeconds * reportsPerSecond >= blindAfterReports;
}

/**
 * The days online as of `at`. What was spent online since the last report counts, and all of it is forgotten like the changes
 * seen; an open session counts for ten mean ones at most.
 */
function onlineDaysAt({ online, reportedAt, onlineDays }: Presence, app: AppPresence, at: number): number {
  if (reportedAt === undefined || at <= reportedAt) return onlineDays;
  const passed = days(at - reportedAt);
  const session = online ? Math.min(passed, days(longestSessions * app.sessionSeconds * 1000)) : 0;
  return onlineDays * decay(passed) + memoryDays * (1 - decay(session)) * decay(passed - session);
}

/** The share of time that the user is online (`x`) as of `at`, watched since the first poll or since presence is reported. */
export function onlineShare(presence: Presence, app: AppPresence, firstPolledAt: number, at: number): number {
  const since = Math.max(firstPolledAt, app.since);
  const watched = memoryDays * (1 - decay(days(Math.max(0, at - since))));
  const share = (onlineDaysAt(presence, app, at) + priorOnlineDays) / (watched + priorWatchedDays);
  return Math.min(1, Math.max(leastOnlineShare, share));
}

/** Splits a rate: the backend's changes come at any time, all others while the user is online. */
export function splitRate(rate: number, share: number, backendShare: number): SplitRate {
  return { online: (rate * (1 - backendShare * (1 - share))) / share, offline: rate * backendShare };
}

/** What of an account the functions below need: how it changes, and since when that is known. */
interface Watched {
  /** Changes a day, as if presence did not exist. */
  readonly rate: number;
  readonly firstPolledAt: number;
}

/** The rate that an account is reckoned with at `at`, in changes a day: the whole of it where nothing is known of its user. */
export function rateByPresence(
  { rate, firstPolledAt }: Watched,
  presence: Presence,
  app: AppPresence,
  at: number,
): number {
  if (presence.reportedAt === undefined || app.blind) return rate;
  const share = onlineShare(presence, app, firstPolledAt, at);
  const { online, offline } = splitRate(rate, share, app.backendShare);
  return isOnline(presence, app, at) ? online : offline;
}

/** Whether presence changes any poll: not where the backend makes all changes, so that polls are exactly as without it. */
export function isPresenceWorthAnything({ backendShare: share }: AppPresence): boolean {
  return share < 1;
}

/** Stride scheduling's rule for a change of tickets: what is left of an account's wait shrinks as its weight grows. */
export function rescaledDue(clock: number, due: number, before: number, after: number): number {
  return due > clock ? clock + ((due - clock) * before) / after : due;
}

/** A user who has just left, and what his account waits for otherwise. */
interface Logout extends Watched {
  /** Seconds online since the account was read last, or undefined where no login was reported. */
  readonly unreadSeconds: number | undefined;
  /** Seconds until the account is due, by its weight offline. */
  readonly dueInSeconds: number;
  readonly secondsPerUnit: number;
}

/**
 * Whether an account is worth a call when its user leaves: what he has probably changed, times how much longer it would
 * wait, against what stride polling pays for a call. After that read nothing is missing until he returns.
 */
export function isWorthReadAtLogout(
  logout: Logout,
  presence: Presence,
  app: AppPresence,
  at: number,
): boolean {
  const { rate, firstPolledAt, unreadSeconds, dueInSeconds, secondsPerUnit } = logout;
  const share = onlineShare(presence, app, firstPolledAt, at);
  const perDay = (rate * (1 - app.backendShare)) / share;
  const away = Math.max((app.sessionSeconds * (1 - share)) / share, shortestAwaySeconds);
  const wait = Math.min(away, Math.max(0, dueInSeconds), daySeconds);
  const unread = unreadSeconds ?? app.sessionSeconds;
  return worthFactor * unread * wait * perDay >= secondsPerUnit ** 2 / 2;
}

/** What polls have shown of who makes the changes: found and expected, of all accounts whose presence is known, and of those that were offline. */
interface BackendEvidence {
  readonly found: number;
  readonly expected: number;
  readonly foundOffline: number;
  readonly expectedOffline: number;
}

/** Nothing is known: the backend makes all changes, and presence changes no poll. */
export const noBackendEvidence: BackendEvidence = {
  found: firstEvidence,
  expected: firstEvidence,
  foundOffline: firstEvidence,
  expectedOffline: firstEvidence,
};

/** A poll of an account whose presence was reported: changes found (clipped as for its rate) and expected. */
export interface EvidencePoll {
  readonly found: number;
  readonly expected: number;
  /** Whether its user was offline ever since the poll before. */
  readonly offline: boolean;
}

/** The evidence `elapsedDays` later, before polls are added to it. */
export function fadeBackendEvidence(evidence: BackendEvidence, elapsedDays: number): BackendEvidence {
  const kept = Math.exp(-Math.max(0, elapsedDays) / evidenceDays);
  return {
    found: evidence.found * kept,
    expected: evidence.expected * kept,
    foundOffline: evidence.foundOffline * kept,
    expectedOffline: evidence.expectedOffline * kept,
  };
}

/** The evidence with one poll more. */
export function addBackendEvidence(evidence: BackendEvidence, poll: EvidencePoll): BackendEvidence {
  const { found, expected, offline } = poll;
  return {
    found: evidence.found + found,
    expected: evidence.expected + expected,
    foundOffline: evidence.foundOffline + (offline ? found : 0),
    expectedOffline: evidence.expectedOffline + (offline ? expected : 0),
  };
}

/** The share of changes made while the user is offline, as the evidence has it (`q`). */
export function backendShare({ found, expected, foundOffline, expectedOffline }: BackendEvidence): number {
  // Rates may be estimated too high or too low for all alike; that must not be taken for the backend's doing.
  const bias = (found + evidencePrior) / (expected + evidencePrior);
  const share = (foundOffline + evidencePrior) / (expectedOffline * bias + evidencePrior);
  return Math.min(1, Math.max(leastBackendShare, share));
}

/** Sessions that were seen from login to logout: their number, and their length together. */
interface SessionEvidence {
  readonly sessions: number;
  readonly seconds: number;
}

/** As if ten sessions of twenty minutes had been seen. */
export const noSessionEvidence: SessionEvidence = {
  sessions: firstSessions,
  seconds: firstSessions * firstSessionSeconds,
};

/** The evidence with a session of this length more; one whose end was lost would last for days, and is cut. */
export function addSession(evidence: SessionEvidence, seconds: number): SessionEvidence {
  const mean = meanSessionSeconds(evidence);
  const kept = Math.min(1, rememberedSessions / (evidence.sessions + 1));
  return {
    sessions: (evidence.sessions + 1) * kept,
    seconds: (evidence.seconds + Math.min(Math.max(seconds, 0), longestSessions * mean)) * kept,
  };
}

/** How long a session lasts on average. */
export function meanSessionSeconds({ sessions, seconds }: SessionEvidence): number {
  return seconds / sessions;
}

function decay(passedDays: number): number {
  return Math.exp(-passedDays / memoryDays);
}

function days(ms: number): number {
  return ms / dayMs;
}
