import { normalQuantile } from '../../src/plan/normal-quantile.ts';
import { createRandom, type Random } from '../../src/simulator/random.ts';
import { createNumbers } from './numbers.ts';
import { drawSessions, type SessionHabits, type Sessions } from './sessions.ts';

const daySeconds = 86_400;

/** What is assumed of the accounts. Rates are changes a day, spells days. */
export interface Habits {
  readonly accounts: number;
  /** Lognormal rates of the accounts that are awake: their mean, and the deviation of their logarithm. */
  readonly changesPerDay: number;
  readonly sigma: number;
  readonly awakeShare: number;
  readonly asleepChangesPerDay: number;
  /** How long accounts stay awake and asleep on average; undefined: for ever. */
  readonly spells: { readonly awakeDays: number; readonly asleepDays: number } | undefined;
  /** Changes follow the hour: 0.8 means 80 % more at the busiest, 80 % less at the quietest; one time zone for all. */
  readonly diurnal: number;
  /** How many changes come together, ten minutes apart on average. */
  readonly sessionChanges: number;
  /** New accounts a day, as a share of those there were at the start. */
  readonly newPerDay: number;
  /** When users are logged in; undefined: changes come at any time. */
  readonly sessions?: SessionHabits;
}

/** Everything that happens to a population, drawn once, so that every policy meets the same. Times in seconds. */
export interface Population {
  readonly size: number;
  readonly joinedAt: Float64Array;
  /** Changes of account i: `changeAt[changeStart[i]]` up to before `changeAt[changeStart[i + 1]]`, in order. */
  readonly changeStart: Uint32Array;
  readonly changeAt: Float64Array;
  /** Joins and falling asleep or awake, in the order of time. */
  readonly events: PopulationEvents;
  /** Changes a day of an account at the start or when it joins. */
  readonly firstRate: Float64Array;
  /** The share of time that its user is logged in, at the start or when it joins. */
  readonly firstShare: Float64Array;
  /** Of all accounts; empty where there are none. */
  readonly sessions: Sessions;
}

/**
 * Account `account[n]` has the rate `rate[n]` from `at[n]` on, and its user is logged in for `share[n]` of the time;
 * `joins[n]` is 1 when it begins to exist then.
 */
interface PopulationEvents {
  readonly at: Float64Array;
  readonly account: Int32Array;
  readonly rate: Float64Array;
  readonly share: Float64Array;
  readonly joins: Uint8Array;
}

/** Between the changes of one session, on average. */
const sessionGapSeconds = 600;

/** The population's whole life of `days`, from a seed. */
export function createPopulation(habits: Habits, days: number, seed: number): Population {
  const random = createRandom(seed);
  const end = days * daySeconds;
  const newcomers = Math.floor(habits.accounts * habits.newPerDay * days);
  const size = habits.accounts + newcomers;
  const joinedAt = new Float64Array(size);
  for (let n = 0; n < newcomers; n += 1)
    joinedAt[habits.accounts + n] = ((n + random.next()) * end) / newcomers;

  const ranks = shuffled(size, random);
  const first = { rate: new Float64Array(size), share: new Float64Array(size) };
  const changeStart = new Uint32Array(size + 1);
  const sessionStart = new Uint32Array(size + 1);
  const drawn: Drawn = {
    changes: createNumbers(size * 4),
    sessionFrom: createNumbers(size),
    sessionUntil: createNumbers(size),
  };
  const events: Event[] = [];
  for (let account = 0; account < size; account += 1) {
    const rank = ranks[account] ?? 0;
    const kind = kindOf(habits, rateOfRank(habits, (rank + 0.5) / size), random);
    let awake = isAwake(habits, rank);
    let from = joinedAt[account] ?? 0;
    const mood = moodOf(habits, kind, awake);
    first.rate[account] = mood.rate;
    first.share[account] = mood.share;
    if (from > 0) events.push({ at: from, account, ...mood, joins: true });
    const start = drawn.changes.length;
    while (from < end) {
      const until = Math.min(end, from + spellSeconds(habits, awake, random));
      drawSpell(habits, moodOf(habits, kind, awake), { from, until, end }, random, drawn);
      awake = !awake;
      from = until;
      if (from < end) events.push({ at: from, account, ...moodOf(habits, kind, awake), joins: false });
    }
    drawn.changes.sortFrom(start);
    changeStart[account + 1] = drawn.changes.length;
    sessionStart[account + 1] = drawn.sessionFrom.length;
  }
  return {
    size,
    joinedAt,
    changeStart,
    changeAt: drawn.changes.toArray(),
    events: inOrder(events),
    firstRate: first.rate,
    firstShare: first.share,
    sessions: {
      start: sessionStart,
      from: drawn.sessionFrom.toArray(),
      until: drawn.sessionUntil.toArray(),
    },
  };
}

type Numbers = ReturnType<typeof createNumbers>;

/** What has been drawn so far, account after account. */
interface Drawn {
  readonly changes: Numbers;
  readonly sessionFrom: Numbers;
  readonly sessionUntil: Numbers;
}

/** What an account is like for all its life. */
interface Kind {
  readonly awakeRate: number;
  readonly isBot: boolean;
  /** Whether its user logs in often while it is asleep too. */
  readonly logsInAsleep: boolean;
}

/** What an account is like until it wakes or falls asleep. */
interface Mood {
  /** Changes a day. */
  readonly rate: number;
  /** The share of time that its user is logged in; 1 where there are no sessions. */
  readonly share: number;
  readonly loginsPerDay: number;
  readonly sessionSeconds: number;
}

function kindOf({ sessions, awakeShare }: Habits, awakeRate: number, random: Random): Kind {
  if (sessions === undefined) return { awakeRate, isBot: false, logsInAsleep: false };
  const isBot = sessions.bots !== undefined && random.next() < sessions.bots.share;
  const logsInAsleep = random.next() < (sessions.oftenShare - awakeShare) / (1 - awakeShare);
  return { awakeRate, isBot, logsInAsleep };
}

function moodOf({ sessions, asleepChangesPerDay }: Habits, kind: Kind, awake: boolean): Mood {
  const rate = awake ? kind.awakeRate : asleepChangesPerDay;
  if (sessions === undefined) return { rate, share: 1, loginsPerDay: 0, sessionSeconds: 0 };
  const often = awake || kind.logsInAsleep;
  const user = {
    loginsPerDay: often ? sessions.loginsPerDay : sessions.seldomLoginsPerDay,
    sessionSeconds: sessions.sessionSeconds,
  };
  const { loginsPerDay, sessionSeconds } = kind.isBot ? (sessions.bots ?? user) : user;
  return { rate, share: (loginsPerDay * sessionSeconds) / daySeconds, loginsPerDay, sessionSeconds };
}

/** Draws what happens to an account until it wakes or falls asleep. */
function drawSpell(habits: Habits, mood: Mood, span: Span, random: Random, drawn: Drawn): void {
  const { sessions } = habits;
  if (sessions === undefined) {
    drawChanges(habits, mood.rate, span, random, drawn.changes.push);
    return;
  }
  drawSessions(
    {
      ...span,
      ...mood,
      hourFactor: (at) => hourFactor(habits.diurnal, at),
      greatestHourFactor: 1 + habits.diurnal,
    },
    random,
    (from, until) => {
      drawn.sessionFrom.push(from);
      drawn.sessionUntil.push(until);
      const byUser = (mood.rate * (1 - sessions.backendShare)) / mood.share;
      drawEvenly(byUser, { from, until }, random, drawn.changes.push);
    },
  );
  drawEvenly(mood.rate * sessions.backendShare, span, random, drawn.changes.push);
}

/** A Poisson process with a constant rate, in changes a day. */
function drawEvenly(
  ratePerDay: number,
  { from, until }: Pick<Span, 'from' | 'until'>,
  random: Random,
  push: (at: number) => void,
): void {
  if (ratePerDay <= 0) return;
  for (let at = from; ; ) {
    at += (exponential(random) * daySeconds) / ratePerDay;
    if (at >= until) return;
    push(at);
  }
}

/** A spell of an account, and the end of all; seconds. */
interface Span {
  readonly from: number;
  readonly until: number;
  readonly end: number;
}

interface Event {
  readonly at: number;
  readonly account: number;
  readonly rate: number;
  readonly share: number;
  readonly joins: boolean;
}

/** Quantiles instead of draws: a small population has the shape of a large one. */
function rateOfRank(habits: Habits, share: number): number {
  const { changesPerDay, sigma } = habits;
  return changesPerDay * Math.exp(sigma * normalQuantile(share) - (sigma * sigma) / 2);
}

/** Spread evenly over the ranks. */
function isAwake(habits: Habits, rank: number): boolean {
  return Math.floor((rank + 1) * habits.awakeShare) > Math.floor(rank * habits.awakeShare);
}

function spellSeconds(habits: Habits, awake: boolean, random: Random): number {
  if (habits.spells === undefined) return Number.POSITIVE_INFINITY;
  return exponential(random) * (awake ? habits.spells.awakeDays : habits.spells.asleepDays) * daySeconds;
}

function drawChanges(
  habits: Habits,
  ratePerDay: number,
  span: Span,
  random: Random,
  push: (at: number) => void,
): void {
  const { diurnal, sessionChanges } = habits;
  // Thinning: as many as in the busiest hour are drawn, and those of quieter hours dropped by chance.
  const sessionsPerSecond = (ratePerDay * (1 + diurnal)) / sessionChanges / daySeconds;
  for (let at = span.from; ; ) {
    at += exponential(random) / sessionsPerSecond;
    if (at >= span.until) return;
    if (diurnal > 0 && random.next() * (1 + diurnal) > hourFactor(diurnal, at)) continue;
    push(at);
    for (let change = 1, later = at; change < sessionChanges; change += 1) {
      later += exponential(random) * sessionGapSeconds;
      if (later < span.end) push(later);
    }
  }
}

function hourFactor(diurnal: number, at: number): number {
  return 1 + diurnal * Math.sin((2 * Math.PI * at) / daySeconds);
}

function exponential(random: Random): number {
  return -Math.log(1 - random.next());
}

function shuffled(size: number, random: Random): Int32Array {
  const ranks = Int32Array.from({ length: size }, (_, rank) => rank);
  for (let last = size - 1; last > 0; last -= 1) {
    const other = random.below(last + 1);
    const rank = ranks[last] ?? 0;
    ranks[last] = ranks[other] ?? 0;
    ranks[other] = rank;
  }
  return ranks;
}

function inOrder(events: readonly Event[]): PopulationEvents {
  const sorted = events.toSorted((a, b) => a.at - b.at);
  return {
    at: Float64Array.from(sorted, ({ at }) => at),
    account: Int32Array.from(sorted, ({ account }) => account),
    rate: Float64Array.from(sorted, ({ rate }) => rate),
    share: Float64Array.from(sorted, ({ share }) => share),
    joins: Uint8Array.from(sorted, ({ joins }) => Number(joins)),
  };
}
