import type { Habits } from './population.ts';
import { type Scenario, steadyHabits } from './scenarios.ts';
import { allReported, type ReportHabits, type SessionHabits } from './sessions.ts';

const daySeconds = 86_400;
const minute = 60;
/** Round-robin rounds of a million and ten million accounts at 195 calls a second. */
const millionRound = 1_000_000 / 195;
const tenMillionRound = 10_000_000 / 195;
const smallRound = 19_000 / 195;
/** A sweep through ten million accounts that takes a twentieth of the calls: 34 minutes. */
const tenMillionSweepSeconds = tenMillionRound / 500 / 0.05;

/** A scenario with sessions: what is reported of them differs between scenarios of one world. */
export interface PresenceScenario extends Scenario {
  /** The scenario that has the same accounts and sessions, and shows the policies that hear no report. */
  readonly world: string;
  readonly reports: ReportHabits;
}

/** Half of the accounts log in four times a day for twenty minutes: 0.12 logins a call at a million accounts. */
const usualSessions: SessionHabits = {
  oftenShare: 0.5,
  loginsPerDay: 4,
  seldomLoginsPerDay: 0.05,
  sessionSeconds: 20 * minute,
  backendShare: 0,
};

function habitsOf(accounts: number, sessions: Partial<SessionHabits>, drifts: boolean): Habits {
  return {
    ...steadyHabits(accounts),
    spells: drifts ? { awakeDays: 20, asleepDays: 60 } : undefined,
    diurnal: drifts ? 0.8 : 0,
    sessions: { ...usualSessions, ...sessions },
  };
}

/** The worlds: whose accounts they are, when their users log in, and which budget there is. */
function createWorlds(accounts: number): readonly PresenceScenario[] {
  const world = (
    name: string,
    title: string,
    sessions: Partial<SessionHabits>,
    more: Partial<PresenceScenario> = {},
  ): PresenceScenario => ({
    name,
    world: name,
    title,
    habits: habitsOf(accounts, sessions, true),
    callsPerSecond: accounts / millionRound,
    fromDay: 6,
    toDay: 12,
    reports: allReported,
    ...more,
  });
  const likeTenMillion = { callsPerSecond: accounts / tenMillionRound, fromDay: 12, toDay: 20 };
  const small = { callsPerSecond: accounts / smallRound, fromDay: 0.4, toDay: 0.6 };
  return [
    world('presence', 'sessions: half of the accounts log in 4 times a day for 20 min', {}),
    world(
      'presence-stationary',
      'the same, and nothing drifts',
      {},
      { habits: habitsOf(accounts, {}, false) },
    ),
    world('presence-busy', '1.5 logins a call: 50 a day for 96 s', { loginsPerDay: 50, sessionSeconds: 96 }),
    world('presence-q5', 'the backend makes 5 % of the changes', { backendShare: 0.05 }),
    world('presence-q30', 'the backend makes 30 % of the changes', { backendShare: 0.3 }),
    world('presence-q100', 'the backend makes all changes', { backendShare: 1 }),
    world('presence-long', 'online two thirds of the day', { sessionSeconds: 240 * minute }),
    world('presence-bots', '1 % of the accounts are robots that log in every 10 min for 30 s', {
      bots: { share: 0.01, loginsPerDay: 144, sessionSeconds: 30 },
    }),
    world('presence-ten-million', 'like 10 M accounts, 1.2 logins a call', {}, likeTenMillion),
    world(
      'presence-ten-million-busy',
      'like 10 M accounts, 5.5 logins a call: 18.5 a day for 260 s',
      { loginsPerDay: 18.5, sessionSeconds: 260 },
      likeTenMillion,
    ),
    world('presence-small', 'like 19,000 accounts at 195 calls a second', {}, small),
    world(
      'presence-small-5s',
      'like 19,000 accounts, and POLL_MIN_INTERVAL is 5 s',
      {},
      {
        ...small,
        minIntervalSeconds: 5,
      },
    ),
  ];
}

/** What else may become of the reports of the first world; `world` names another one. */
const variants: Readonly<Record<string, { readonly title: string } & Partial<PresenceScenario>>> = {
  'presence-lost-1': { title: '1 % of the callbacks are lost', reports: { ...allReported, lostShare: 0.01 } },
  'presence-lost-10': {
    title: '10 % of the callbacks are lost',
    reports: { ...allReported, lostShare: 0.1 },
  },
  'presence-lost-50': {
    title: 'half of the callbacks are lost',
    reports: { ...allReported, lostShare: 0.5 },
  },
  'presence-lost-10-status': {
    title: '10 % are lost, and the vendor is asked every 5 min',
    reports: { ...allReported, lostShare: 0.1 },
    statusEverySeconds: 5 * minute,
  },
  'presence-lost-50-status': {
    title: 'half are lost, and the vendor is asked every 5 min',
    reports: { ...allReported, lostShare: 0.5 },
    statusEverySeconds: 5 * minute,
  },
  'presence-status-1': unreported(1),
  'presence-status-5': unreported(5),
  'presence-status-15': unreported(15),
  'presence-status-30': unreported(30),
  'presence-unreported': {
    title: 'no callbacks, and the vendor is not asked',
    reports: { ...allReported, to: 0 },
  },
  'presence-late': {
    title: 'logouts are reported 5 min late',
    reports: { ...allReported, logoutDelaySeconds: 5 * minute },
  },
  'presence-devices': {
    title: 'all users have two devices',
    reports: { ...allReported, twoDevices: true },
  },
  'presence-devices-status': {
    title: 'two devices, and the vendor is asked every 5 min',
    reports: { ...allReported, twoDevices: true },
    statusEverySeconds: 5 * minute,
  },
  'presence-stops': {
    title: 'callbacks stop for 6 hours, and these count',
    world: 'presence-stops',
    reports: { ...allReported, silence: { from: 9 * daySeconds, to: 9.25 * daySeconds } },
    fromDay: 9,
    toDay: 9.25,
    endDay: 9.75,
  },
  'presence-stops-status': {
    title: 'callbacks stop for 6 hours, and the vendor is asked every 5 min',
    world: 'presence-stops',
    reports: { ...allReported, silence: { from: 9 * daySeconds, to: 9.25 * daySeconds } },
    statusEverySeconds: 5 * minute,
    fromDay: 9,
    toDay: 9.25,
    endDay: 9.75,
  },
  'presence-ten-million-status': {
    title: 'like 10 M accounts, no callbacks, and a twentieth of the calls asks the vendor',
    world: 'presence-ten-million',
    reports: { ...allReported, to: 0 },
    statusEverySeconds: tenMillionSweepSeconds,
  },
  'presence-begins': {
    title: 'callbacks begin in a mirror that has run for 6 days',
    reports: { ...allReported, from: 6 * daySeconds },
  },
};

function unreported(minutes: number): { readonly title: string } & Partial<PresenceScenario> {
  return {
    title: `no callbacks, and the vendor is asked every ${minutes} min`,
    reports: { ...allReported, to: 0 },
    statusEverySeconds: minutes * minute,
  };
}

/** All scenarios with sessions, with this many accounts where their number is free. */
export function createPresenceScenarios(accounts: number): readonly PresenceScenario[] {
  const worlds = createWorlds(accounts);
  const worldOf = (name: string) => worlds.find((world) => world.name === name);
  return [
    ...worlds,
    ...Object.entries(variants).flatMap(([name, variant]) => {
      const world = worldOf(variant.world ?? 'presence') ?? worldOf('presence');
      return world === undefined ? [] : [{ ...world, ...variant, name }];
    }),
  ];
}
