import { createRandom, type Random } from '../../src/simulator/random.ts';
import { createNumbers } from './numbers.ts';

/** When users are logged in. All times in seconds. */
export interface SessionHabits {
  /** Of the accounts whose users log in often; the lively ones are all among them. */
  readonly oftenShare: number;
  readonly loginsPerDay: number;
  /** Of all other accounts. */
  readonly seldomLoginsPerDay: number;
  /** How long a session lasts on average; its length has an exponential distribution. */
  readonly sessionSeconds: number;
  /** The share of changes that the app's backend makes, at any hour, online or not. */
  readonly backendShare: number;
  /** Robots: accounts that log in this often and leave again after moments, and change as others do. */
  readonly bots?: { readonly share: number; readonly loginsPerDay: number; readonly sessionSeconds: number };
}

/** The sessions of all accounts: those of account i are numbered from `start[i]` up to before `start[i + 1]`. */
export interface Sessions {
  readonly start: Uint32Array;
  readonly from: Float64Array;
  readonly until: Float64Array;
}

/** Logins and logouts in the order of the seconds in which they come; `login[n]` is 1 for a login. */
export interface PresenceLog {
  readonly at: Float64Array;
  readonly account: Int32Array;
  readonly login: Uint8Array;
}

/** How well the vendor reports presence. */
export interface ReportHabits {
  /** The share of callbacks that never come. */
  readonly lostShare: number;
  /** Seconds by which logouts are reported late. */
  readonly logoutDelaySeconds: number;
  /** A second device logs in within each session, and leaves before its end. */
  readonly twoDevices: boolean;
  /** Callbacks come from the one to the other; both in seconds. */
  readonly from: number;
  readonly to: number;
  /** No callback comes in between. */
  readonly silence: { readonly from: number; readonly to: number } | undefined;
}

/** Every callback comes, at once. */
export const allReported: ReportHabits = {
  lostShare: 0,
  logoutDelaySeconds: 0,
  twoDevices: false,
  from: 0,
  to: Number.POSITIVE_INFINITY,
  silence: undefined,
};

/** The logins and logouts that really are. */
export function presenceLogOf(sessions: Sessions): PresenceLog {
  const log = createPresenceLog(sessions.from.length * 2);
  eachSession(sessions, (account, from, until) => {
    log.add(account, from, true);
    log.add(account, until, false);
  });
  return log.sorted();
}

/** The callbacks that come of sessions, drawn from a seed. */
export function reportsOf(sessions: Sessions, habits: ReportHabits, seed: number): PresenceLog {
  const random = createRandom(seed);
  const { silence } = habits;
  const log = createPresenceLog(sessions.from.length * (habits.twoDevices ? 4 : 2));
  const report = (account: number, at: number, login: boolean) => {
    if (habits.lostShare > 0 && random.next() < habits.lostShare) return;
    const comes = login ? at : at + habits.logoutDelaySeconds;
    if (comes < habits.from || comes >= habits.to) return;
    if (silence !== undefined && comes >= silence.from && comes < silence.to) return;
    log.add(account, comes, login);
  };
  eachSession(sessions, (account, from, until) => {
    report(account, from, true);
    if (habits.twoDevices) {
      const joins = from + random.next() * (until - from);
      report(account, joins, true);
      report(account, joins + random.next() * (until - joins), false);
    }
    report(account, until, false);
  });
  return log.sorted();
}

function eachSession(
  { start, from, until }: Sessions,
  act: (account: number, from: number, until: number) => void,
): void {
  for (let account = 0; account + 1 < start.length; account += 1) {
    const end = start[account + 1] ?? 0;
    for (let session = start[account] ?? 0; session < end; session += 1)
      act(account, from[session] ?? 0, until[session] ?? 0);
  }
}

/** What a stretch of an account's life is like. */
interface Stretch {
  readonly from: number;
  readonly until: number;
  readonly loginsPerDay: number;
  readonly sessionSeconds: number;
  /** As of `Habits`. */
  readonly hourFactor: (at: number) => number;
  readonly greatestHourFactor: number;
}

const daySeconds = 86_400;

/** Draws the sessions of a stretch; `push` gets each one's beginning and end, and none reaches beyond the stretch. */
export function drawSessions(
  stretch: Stretch,
  random: Random,
  push: (from: number, until: number) => void,
): void {
  const { loginsPerDay, sessionSeconds, greatestHourFactor } = stretch;
  const gapSeconds = daySeconds / loginsPerDay - sessionSeconds;
  for (let at = stretch.from; ; ) {
    // Thinning, as for changes.
    at += (exponential(random) * gapSeconds) / greatestHourFactor;
    if (at >= stretch.until) return;
    if (random.next() * greatestHourFactor > stretch.hourFactor(at)) continue;
    const until = Math.min(stretch.until, at + exponential(random) * sessionSeconds);
    push(at, until);
    at = until;
  }
}

function exponential(random: Random): number {
  return -Math.log(1 - random.next());
}

function createPresenceLog(capacity: number) {
  const at = createNumbers(capacity);
  const account = createNumbers(capacity);
  const login = createNumbers(capacity);
  return {
    add(whose: number, when: number, isLogin: boolean): void {
      at.push(when);
      account.push(whose);
      login.push(Number(isLogin));
    },
    /** By the second, in the order of adding within one: the order of one account's events is kept. */
    sorted(): PresenceLog {
      const times = at.toArray();
      const last = times.reduce((latest, time) => Math.max(latest, time), 0);
      const place = new Uint32Array(Math.floor(last) + 2);
      for (const time of times) place[Math.floor(time) + 1] = (place[Math.floor(time) + 1] ?? 0) + 1;
      for (let second = 1; second < place.length; second += 1)
        place[second] = (place[second] ?? 0) + (place[second - 1] ?? 0);
      const sorted = {
        at: new Float64Array(times.length),
        account: new Int32Array(times.length),
        login: new Uint8Array(times.length),
      };
      const [accounts, logins] = [account.toArray(), login.toArray()];
      for (let event = 0; event < times.length; event += 1) {
        const second = Math.floor(times[event] ?? 0);
        const to = place[second] ?? 0;
        place[second] = to + 1;
        sorted.at[to] = times[event] ?? 0;
        sorted.account[to] = accounts[event] ?? 0;
        sorted.login[to] = logins[event] ?? 0;
      }
      return sorted;
    },
  };
}
