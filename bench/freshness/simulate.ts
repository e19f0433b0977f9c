import { createDelays } from './delays.ts';
import type { Policy } from './policy.ts';
import type { Population } from './population.ts';
import type { PresenceLog } from './sessions.ts';

/** How a policy is tried. Times in seconds. */
interface Trial {
  /** Changes made in this stretch count, whenever they are found. */
  readonly window: { readonly from: number; readonly to: number };
  /** When it ends; what is not found by then counts as found then. */
  readonly end: number;
  /** Calls a second at a moment. */
  readonly budget: (at: number) => number;
  /** Accounts over calls a second: what ages are measured in. */
  readonly cycleSeconds: number;
  readonly failureShare: number;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  /** What the policy hears of logins and logouts, and whether it asks the vendor; undefined: nothing. */
  readonly presence: PresenceTrial | undefined;
}

/** How a policy learns who is online. */
interface PresenceTrial {
  /** The callbacks that come. */
  readonly reports: PresenceLog;
  /** The truth, for when the vendor is asked. */
  readonly truth: PresenceLog;
  /** Each account is asked for once in this time, 500 accounts a call; undefined: the vendor is not asked. */
  readonly statusEverySeconds: number | undefined;
}

/** Accounts that one call of `query_online_status` asks for. */
const accountsPerStatusCall = 500;

/** What came of it. Seconds; shares from 0 to 1; all of the window. */
export interface Freshness {
  readonly changes: number;
  readonly meanSeconds: number;
  readonly p50Seconds: number;
  readonly p95Seconds: number;
  readonly p99Seconds: number;
  /** Of the accounts, at a random moment. */
  readonly inSyncShare: number;
  /** Of the polls, those that found nothing. */
  readonly wastedShare: number;
  readonly oldestAgeInCycles: number;
  /** The shortest time between two reads of an account. */
  readonly shortestIntervalSeconds: number;
  readonly callsPerSecond: number;
  /** When the last account that was there from the start had been read. */
  readonly firstReadSeconds: number;
}

/** A simulation that goes on as far as it is asked to, so that its caller can show how far it is. */
export interface Simulation {
  /** Goes on to `at` or the end. */
  advance(at: number): void;
  /** The figures; the simulation must have reached its end. */
  result(): Freshness;
}

const tickSeconds = 1;

/** Runs a policy over a population: a claim a second, as the daemon does, and its polls spread over that second. */
export function createSimulation(population: Population, policy: Policy, trial: Trial): Simulation {
  const { events, joinedAt } = population;
  const tally = createTally(population, trial);
  const claimed = new Int32Array(population.size);
  let now = 0;
  let tokens = 0;
  let event = 0;

  for (let account = 0; account < population.size; account += 1)
    if ((joinedAt[account] ?? 0) <= 0) policy.enrol(account, 0);

  function poll(account: number, at: number): void {
    tally.polled(at);
    if (trial.failureShare > 0 && trial.random() < trial.failureShare) policy.failed(account, at);
    else policy.answered(account, at, tally.read(account, at));
  }

  function happen(until: number): void {
    for (; event < events.at.length && (events.at[event] ?? 0) <= until; event += 1) {
      const account = events.account[event] ?? 0;
      if (events.joins[event] === 1) policy.enrol(account, until);
      else policy.rateChanged?.(account, events.rate[event] ?? 0, events.share[event] ?? 1);
    }
  }

  const ear = createEar(population, policy, trial.presence);

  function tick(): void {
    happen(now);
    const budget = trial.budget(now) * tickSeconds;
    // What a second leaves unused is lost, but for the fraction of a call.
    tokens = Math.min(tokens + budget, budget + 1) - ear.hear(now);
    const places = Math.floor(tokens);
    if (places > 0) {
      const count = policy.claim(now, places, claimed);
      tokens -= count;
      for (let place = 0; place < count; place += 1) {
        poll(claimed[place] ?? 0, now + (tickSeconds * (place + 1)) / (places + 1));
      }
    }
    now += tickSeconds;
  }

  return {
    advance(at) {
      const until = Math.min(at, trial.end);
      while (now < until) tick();
    },
    result: tally.result,
  };
}

/** Brings a policy what it learns of presence. `hear` returns how many calls that took. */
function createEar(population: Population, policy: Policy, trial: PresenceTrial | undefined) {
  const size = population.joinedAt.length;
  if (trial === undefined || policy.reported === undefined) return { hear: () => 0 };
  const { reports, truth, statusEverySeconds } = trial;
  const online = new Uint8Array(size);
  let report = 0;
  let fact = 0;
  let nextAsked = 0;

  function hearReports(until: number): void {
    for (; report < reports.at.length && (reports.at[report] ?? 0) <= until; report += 1) {
      const isLogin = reports.login[report] === 1;
      policy.reported?.(reports.account[report] ?? 0, reports.at[report] ?? 0, isLogin, 'callback');
    }
  }

  function ask(until: number, everySeconds: number): number {
    for (; fact < truth.at.length && (truth.at[fact] ?? 0) <= until; fact += 1)
      online[truth.account[fact] ?? 0] = truth.login[fact] ?? 0;
    const wanted = (size * tickSeconds) / everySeconds;
    const last = nextAsked + wanted;
    for (let account = Math.ceil(nextAsked); account < last; account += 1)
      policy.reported?.(account % size, until, online[account % size] === 1, 'status');
    nextAsked = last >= size ? last - size : last;
    return wanted / accountsPerStatusCall;
  }

  return {
    hear(until: number): number {
      hearReports(until);
      return statusEverySeconds === undefined ? 0 : ask(until, statusEverySeconds);
    },
  };
}

/** What is counted of a trial, in its window. */
function createTally(population: Population, { window, end, cycleSeconds }: Trial) {
  const { joinedAt } = population;
  const readAt = joinedAt.slice();
  const seen = new Uint8Array(population.size);
  const counts = (at: number) => at >= window.from && at < window.to;
  const changes = createChangeLog(population, window);
  let atStart = joinedAt.filter((joined) => joined <= 0).length;
  let polls = 0;
  let wasted = 0;
  let oldest = 0;
  let shortest = Number.POSITIVE_INFINITY;
  let firstReadSeconds = 0;

  /** Accounts for everything an account has had since it was read last. Returns how many changes that is. */
  function settle(account: number, at: number): number {
    if (at >= window.from && at <= window.to) oldest = Math.max(oldest, at - (readAt[account] ?? 0));
    return changes.settle(account, at, seen[account] === 1);
  }

  return {
    polled(at: number): void {
      if (counts(at)) polls += 1;
    },
    /** An account was read. Returns how many of its changes that brought. */
    read(account: number, at: number): number {
      const found = settle(account, at);
      if (counts(at) && found === 0) wasted += 1;
      if (seen[account] === 1) {
        if (counts(at)) shortest = Math.min(shortest, at - (readAt[account] ?? 0));
      } else if ((joinedAt[account] ?? 0) <= 0) {
        atStart -= 1;
        if (atStart === 0) firstReadSeconds = at;
      }
      seen[account] = 1;
      readAt[account] = at;
      return found;
    },
    result(): Freshness {
      for (let account = 0; account < population.size; account += 1)
        if ((joinedAt[account] ?? 0) < end) settle(account, end);
      return {
        ...changes.result(end),
        wastedShare: polls === 0 ? 0 : wasted / polls,
        oldestAgeInCycles: oldest / cycleSeconds,
        shortestIntervalSeconds: shortest,
        callsPerSecond: polls / (window.to - window.from),
        firstReadSeconds,
      };
    },
  };
}

/** Which changes have been found, and for how long accounts were out of date. */
function createChangeLog({ changeAt, changeStart, joinedAt, size }: Population, window: Trial['window']) {
  const cursor = changeStart.slice(0, size);
  const delays = createDelays();
  let staleSeconds = 0;
  const overlap = (from: number, to: number) =>
    Math.max(0, Math.min(to, window.to) - Math.max(from, window.from));
  return {
    settle(account: number, at: number, wasRead: boolean): number {
      const first = cursor[account] ?? 0;
      const stop = changeStart[account + 1] ?? 0;
      let next = first;
      for (; next < stop; next += 1) {
        const changedAt = changeAt[next] ?? 0;
        if (changedAt > at) break;
        if (changedAt >= window.from && changedAt < window.to) delays.add(at - changedAt);
      }
      cursor[account] = next;
      const staleFrom = wasRead ? (next > first ? (changeAt[first] ?? 0) : at) : (joinedAt[account] ?? 0);
      staleSeconds += overlap(staleFrom, at);
      return next - first;
    },
    result(end: number) {
      let accountSeconds = 0;
      for (const joined of joinedAt) if (joined < end) accountSeconds += overlap(joined, window.to);
      return {
        changes: delays.count,
        meanSeconds: delays.mean,
        p50Seconds: delays.quantile(0.5),
        p95Seconds: delays.quantile(0.95),
        p99Seconds: delays.quantile(0.99),
        inSyncShare: 1 - staleSeconds / accountSeconds,
      };
    },
  };
}
