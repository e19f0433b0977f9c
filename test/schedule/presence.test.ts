import { describe, expect, test } from 'vitest';
import {
  type AppPresence,
  addBackendEvidence,
  addSession,
  backendShare,
  fadeBackendEvidence,
  isBlind,
  isOnline,
  isWorthReadAtLogout,
  meanSessionSeconds,
  noBackendEvidence,
  noSessionEvidence,
  notedPresence,
  onlineShare,
  type Presence,
  rateByPresence,
  rescaledDue,
  splitRate,
} from '../../src/schedule/presence.ts';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const app: AppPresence = { backendShare: 0.1, sessionSeconds: 1200, since: 0, blind: false };
const unreported: Presence = { online: false, reportedAt: undefined, onlineDays: 0 };

/** An account that logs in for `onlineMs` every `everyMs`, from the start until `untilMs`. */
function live(onlineMs: number, everyMs: number, untilMs: number, of: AppPresence): Presence {
  let presence: Presence = unreported;
  for (let at = everyMs - onlineMs; at + onlineMs <= untilMs; at += everyMs) {
    for (const [online, when] of [
      [true, at],
      [false, at + onlineMs],
    ] as const) {
      presence = notedPresence(presence, of, { source: 'callback', online, at: when }) ?? presence;
    }
  }
  return presence;
}

describe('the share of time online', () => {
  test('is a twentieth before anything is known', () => {
    expect(onlineShare(unreported, app, 0, 0)).toBeCloseTo(0.05, 10);
  });

  test.each([
    ['twenty minutes every six hours', 20 * minute, 6 * hour],
    ['a minute every hour', minute, hour],
    ['twelve hours a day', 12 * hour, day],
  ])('is learned within days: %s', (_, onlineMs, everyMs) => {
    const until = 10 * day;
    const long: AppPresence = { ...app, sessionSeconds: onlineMs / 1000 };
    const presence = live(onlineMs, everyMs, until, long);
    const share = onlineShare(presence, long, 0, until);
    // What was seen last counts most.
    expect(share / (onlineMs / everyMs)).toBeGreaterThan(0.75);
    expect(share / (onlineMs / everyMs)).toBeLessThan(1.35);
  });

  test('is all of it for a user who never leaves, however often the vendor confirms it', () => {
    const always: AppPresence = { ...app, sessionSeconds: 86_400 };
    let presence: Presence = { online: true, reportedAt: 0, onlineDays: 0 };
    for (let at = hour; at <= 20 * day; at += hour)
      presence = notedPresence(presence, always, { source: 'status', online: true, at }) ?? presence;
    expect(onlineShare(presence, always, 0, 20 * day)).toBeGreaterThan(0.97);
  });

  test('does not grow while a logout is lost: a session counts for ten mean ones at most', () => {
    const lost: Presence = { online: true, reportedAt: 0, onlineDays: 0 };
    const end = 10 * 1200 * 1000;
    const watchedLong: AppPresence = { ...app, since: -20 * day };
    const share = (at: number) => onlineShare(lost, watchedLong, -20 * day, at);
    expect(share(end)).toBeGreaterThan(share(end / 2) * 1.5);
    expect(share(end + day) / share(end)).toBeCloseTo(Math.exp(-0.5), 1);
    expect(isOnline(lost, app, end)).toBe(true);
    expect(isOnline(lost, app, end + 1)).toBe(false);
  });

  test('is reckoned from when reports began, in a mirror that had run for long', () => {
    const begun: AppPresence = { ...app, since: 100 * day };
    const presence: Presence = { online: false, reportedAt: 100 * day + hour, onlineDays: 1 / 24 };
    expect(onlineShare(presence, begun, 0, 100 * day + hour)).toBeGreaterThan(0.45);
  });
});

describe('the rate of the moment', () => {
  const watched = { rate: 5, firstPolledAt: 0 };

  test('is the whole rate where nothing was reported, or reports have stopped', () => {
    const online: Presence = { online: true, reportedAt: day, onlineDays: 0.1 };
    expect(rateByPresence(watched, unreported, app, day)).toBe(5);
    expect(rateByPresence(watched, online, { ...app, blind: true }, day)).toBe(5);
  });

  test('is the whole rate, online and offline, where the backend makes all changes', () => {
    const online: Presence = { online: true, reportedAt: day, onlineDays: 0.1 };
    const all = { ...app, backendShare: 1 };
    expect(rateByPresence(watched, online, all, day)).toBeCloseTo(5, 10);
    expect(rateByPresence(watched, { ...online, online: false }, all, day)).toBe(5);
  });

  test.each([0.003, 0.05, 0.5, 1])('adds up to the whole rate over a day: online %d of the time', (share) => {
    for (const q of [0, 0.1, 1]) {
      const { online, offline } = splitRate(5, share, q);
      expect(share * online + (1 - share) * offline).toBeCloseTo(5, 10);
      expect(offline).toBeCloseTo(5 * q, 10);
    }
  });
});

describe('a report', () => {
  const online: Presence = { online: true, reportedAt: hour, onlineDays: 0.1 };
  const offline: Presence = { online: false, reportedAt: hour, onlineDays: 0.1 };

  test.each([
    ['again', hour],
    ['late, after a newer one', hour - 1],
  ])('that comes %s says nothing', (_, at) => {
    for (const source of ['callback', 'status'] as const) {
      expect(notedPresence(online, app, { source, online: false, at })).toBeUndefined();
      expect(notedPresence(offline, app, { source, online: true, at })).toBeUndefined();
    }
  });

  test('of a login changes the state, and what was spent offline adds nothing', () => {
    const noted = notedPresence(offline, app, { source: 'callback', online: true, at: 2 * hour });
    expect(noted).toMatchObject({ online: true, reportedAt: 2 * hour });
    expect(noted?.onlineDays).toBeLessThan(0.1);
  });

  test('of a logout without a login counts for a session: the login was lost, or another device has left', () => {
    const noted = notedPresence(offline, app, { source: 'callback', online: false, at: 9 * hour });
    expect(noted?.reportedAt).toBe(9 * hour);
    expect((noted?.onlineDays ?? 0) - 0.1 * Math.exp(-8 / 48)).toBeCloseTo(1200 / 86_400, 3);
  });

  test('that only confirms a state is written now and then, before an open session would be taken for a lost logout', () => {
    const confirm = (at: number) =>
      notedPresence(online, app, { source: 'status', online: true, at: hour + at });
    expect(confirm(5 * minute)).toBeUndefined();
    expect(confirm(5 * 20 * minute)).toMatchObject({ online: true, reportedAt: hour + 100 * minute });
    expect(notedPresence(offline, app, { source: 'status', online: false, at: 9 * hour })).toBeUndefined();
  });
});

describe('the backend’s share of changes', () => {
  const afterPolls = (polls: number, poll: { found: number; expected: number; offline: boolean }) => {
    let evidence = noBackendEvidence;
    for (let n = 0; n < polls; n += 1) evidence = addBackendEvidence(evidence, poll);
    return evidence;
  };

  test('is all of them, exactly, before anything is known', () => {
    expect(backendShare(noBackendEvidence)).toBe(1);
    expect(backendShare(fadeBackendEvidence(noBackendEvidence, 3))).toBe(1);
  });

  test('becomes small while polls of those that were offline find nothing, and never nothing', () => {
    let evidence = noBackendEvidence;
    for (let n = 0; n < 2000; n += 1) {
      evidence = addBackendEvidence(evidence, { found: 0, expected: 0.1, offline: true });
      evidence = addBackendEvidence(evidence, { found: 0.2, expected: 0.1, offline: false });
    }
    expect(backendShare(evidence)).toBeLessThan(0.12);
    expect(backendShare(fadeBackendEvidence(evidence, 0))).toBe(backendShare(evidence));
    for (let n = 0; n < 50_000; n += 1)
      evidence = addBackendEvidence(evidence, {
        found: n % 2 ? 0.2 : 0,
        expected: 0.1,
        offline: n % 2 === 0,
      });
    expect(backendShare(evidence)).toBe(0.01);
  });

  test('is all of them where the offline change as often as the others, though all rates are estimated at double', () => {
    const evidence = afterPolls(5000, { found: 0.1, expected: 0.2, offline: true });
    expect(backendShare(evidence)).toBeGreaterThan(0.97);
  });

  test('forgets half of its evidence in 1.4 days', () => {
    const evidence = afterPolls(100, { found: 1, expected: 1, offline: true });
    expect(fadeBackendEvidence(evidence, 1.386).expected / evidence.expected).toBeCloseTo(0.5, 3);
  });
});

test('the mean session is not spoiled by logouts that are lost', () => {
  let sessions = noSessionEvidence;
  for (let n = 0; n < 1000; n += 1) sessions = addSession(sessions, n % 20 === 0 ? 86_400 * 3 : 600);
  expect(meanSessionSeconds(sessions)).toBeGreaterThan(500);
  expect(meanSessionSeconds(sessions)).toBeLessThan(1400);
  expect(meanSessionSeconds(addSession(noSessionEvidence, -5))).toBeLessThan(1200);
});

describe('a change of weight', () => {
  test('shortens what is left of the wait as the weight grows, and lengthens it as it shrinks', () => {
    expect(rescaledDue(100, 110, 1, 2)).toBe(105);
    expect(rescaledDue(100, 110, 2, 1)).toBe(120);
  });

  test('leaves alone what is due', () => {
    expect(rescaledDue(100, 99, 1, 1000)).toBe(99);
  });
});

describe('at a logout an account', () => {
  const presence: Presence = { online: false, reportedAt: 6 * day, onlineDays: 0.1 };
  const logout = {
    rate: 5,
    firstPolledAt: 0,
    unreadSeconds: 600,
    dueInSeconds: 4 * 3600,
    secondsPerUnit: 2000,
  };
  const isWorth = (over: Partial<typeof logout>, of: AppPresence = app) =>
    isWorthReadAtLogout({ ...logout, ...over }, presence, of, 6 * day);

  test('that is lively is worth a call where a round takes an hour and a half', () => {
    expect(isWorth({})).toBe(true);
  });

  test.each([
    ['changes once in two years', { rate: 0.001 }],
    ['was read a moment ago', { unreadSeconds: 0 }],
    ['is due anyway', { dueInSeconds: 0 }],
    ['is overdue', { dueInSeconds: -100 }],
  ])('that %s is not', (_, over) => {
    expect(isWorth(over)).toBe(false);
  });

  test('is not where the backend makes all changes', () => {
    expect(isWorth({}, { ...app, backendShare: 1 })).toBe(false);
  });
});

test('reports have stopped after five minutes in which fifty were to be expected, and not sooner', () => {
  expect(isBlind(299, 100)).toBe(false);
  expect(isBlind(300, 0.1)).toBe(false);
  expect(isBlind(300, 50 / 300)).toBe(true);
  expect(isBlind(86_400, 0)).toBe(false);
});
