import { defaultMinIntervalSeconds } from '../../src/config/values.ts';
import { createRandom } from '../../src/simulator/random.ts';
import { count } from '../../src/terminal/numbers.ts';
import { createHalveAndGrow } from './policies/halve-and-grow.ts';
import { createOracle } from './policies/oracle.ts';
import { createOracleOfPresence } from './policies/oracle-of-presence.ts';
import { createRoundRobin } from './policies/round-robin.ts';
import { createStride } from './policies/stride.ts';
import type { Policy, PolicyWorld } from './policy.ts';
import { createPopulation, type Habits, type Population } from './population.ts';
import { presenceLogOf, type ReportHabits, reportsOf } from './sessions.ts';
import { createSimulation, type Freshness, type Simulation } from './simulate.ts';

/** One row of the bench: whose accounts, which budget, and when it is looked at. */
export interface Scenario {
  readonly name: string;
  readonly title: string;
  readonly habits: Habits;
  readonly callsPerSecond: number;
  /** Changes made between these days count. */
  readonly fromDay: number;
  readonly toDay: number;
  /** When it ends, if later. */
  readonly endDay?: number;
  /** In the days that count, only this share of the budget is there, and no policy knows it. */
  readonly budgetShare?: number;
  readonly failureShare?: number;
  /** What the vendor reports of sessions. Default: nothing. */
  readonly reports?: ReportHabits;
  /** How often the vendor is asked who is online; 500 accounts a call. Default: never. */
  readonly statusEverySeconds?: number;
  /** POLL_MIN_INTERVAL, where it is not the default. */
  readonly minIntervalSeconds?: number;
}

const policyNames = [
  'round-robin',
  'halve-and-grow',
  'stride',
  'stride-changed-only',
  'stride-hints',
  'presence',
  'oracle',
  'oracle-of-presence',
] as const;
export type PolicyName = (typeof policyNames)[number];

const daySeconds = 86_400;
const maxIntervalSeconds = daySeconds;

/** Round-robin cycles of a million and ten million accounts at 195 calls a second. */
const millionCycle = 1_000_000 / 195;
const tenMillionCycle = 10_000_000 / 195;

/** Lognormal rates with σ = 2, three quarters asleep: where the rows begin. */
export function steadyHabits(accounts: number): Habits {
  return {
    accounts,
    changesPerDay: 5,
    sigma: 2,
    awakeShare: 0.25,
    asleepChangesPerDay: 1 / 200,
    spells: undefined,
    diurnal: 0,
    sessionChanges: 1,
    newPerDay: 0,
  };
}

/** An app whose accounts a round robin reads within minutes, watched until some hundreds of changes were made. */
function smallApp(name: string, accounts: number): Scenario {
  const fromDay = 0.2;
  return {
    name,
    title: `${count(accounts)} accounts at 190 calls a second`,
    habits: steadyHabits(accounts),
    callsPerSecond: 190,
    fromDay,
    toDay: fromDay + Math.max(0.05, Math.min(2, 300 / accounts)),
  };
}

/** The scenarios that are simulated, with this many accounts where their number is free. */
export function createScenarios(accounts: number) {
  const steady = steadyHabits(accounts);
  const drifting: Habits = { ...steady, spells: { awakeDays: 20, asleepDays: 60 } };
  const likeMillion = { callsPerSecond: accounts / millionCycle, fromDay: 6, toDay: 12 };
  return {
    stationary: {
      name: 'stationary',
      title: 'stationary',
      habits: steady,
      ...likeMillion,
    },
    drift: {
      name: 'drift',
      title: 'drift: awake 20 days, asleep 60',
      habits: drifting,
      ...likeMillion,
    },
    hard: {
      name: 'hard',
      title: 'hard: awake 5 days, asleep 15; day and night; sessions; 1 % new a day; 0.5 % failures',
      habits: {
        ...steady,
        spells: { awakeDays: 5, asleepDays: 15 },
        diurnal: 0.8,
        sessionChanges: 3,
        newPerDay: 0.01,
      },
      ...likeMillion,
      failureShare: 0.005,
    },
    tenMillion: {
      name: 'ten-million',
      title: 'drift, like 10 M accounts',
      habits: drifting,
      callsPerSecond: accounts / tenMillionCycle,
      fromDay: 20,
      toDay: 29,
    },
    quarterBudget: {
      name: 'quarter-budget',
      title: 'drift, a quarter of the budget for 12 hours',
      habits: drifting,
      callsPerSecond: accounts / millionCycle,
      fromDay: 6,
      toDay: 6.5,
      endDay: 7.5,
      budgetShare: 0.25,
    },
    hundred: smallApp('hundred', 100),
    thousand: smallApp('thousand', 1000),
    threeThousand: smallApp('three-thousand', 3000),
    tenThousand: smallApp('ten-thousand', 10_000),
    thirtyThousand: smallApp('thirty-thousand', 30_000),
  } satisfies Record<string, Scenario>;
}

const makers: Record<PolicyName, (world: PolicyWorld) => Policy> = {
  'round-robin': createRoundRobin,
  'halve-and-grow': createHalveAndGrow,
  stride: createStride,
  'stride-changed-only': (world) => createStride(world, { changedOnly: true }),
  'stride-hints': (world) => createStride(world, { callbacks: 'hints' }),
  presence: (world) => createStride(world, { callbacks: 'presence' }),
  oracle: createOracle,
  'oracle-of-presence': createOracleOfPresence,
};

/** The population of a scenario, for all its policies. */
export function populationOf(scenario: Scenario, seed: number): Population {
  return createPopulation(scenario.habits, scenario.endDay ?? scenario.toDay, seed);
}

/** A run that has yet to go on: `advance` takes it to its end at `endSeconds`. */
export interface Run extends Simulation {
  readonly endSeconds: number;
}

/** One policy in one scenario; `make` makes it, where it is to be another than the usual of its name. */
export function createRun(
  scenario: Scenario,
  population: Population,
  policy: PolicyName,
  seed: number,
  make: (world: PolicyWorld) => Policy = makers[policy],
): Run {
  const { callsPerSecond, habits } = scenario;
  const world: PolicyWorld = {
    size: population.size,
    callsPerSecond,
    minIntervalSeconds: scenario.minIntervalSeconds ?? defaultMinIntervalSeconds,
    maxIntervalSeconds,
    firstRate: population.firstRate,
    firstShare: population.firstShare,
    backendShare: habits.sessions?.backendShare ?? 0,
    sessionSeconds: habits.sessions?.sessionSeconds ?? 0,
    random: createRandom(seed + 1).next,
  };
  const window = { from: scenario.fromDay * daySeconds, to: scenario.toDay * daySeconds };
  const endSeconds = (scenario.endDay ?? scenario.toDay) * daySeconds;
  const less = callsPerSecond * (scenario.budgetShare ?? 1);
  const simulation = createSimulation(population, make(world), {
    window,
    end: endSeconds,
    budget: (at) => (at >= window.from && at < window.to ? less : callsPerSecond),
    cycleSeconds: habits.accounts / callsPerSecond,
    failureShare: scenario.failureShare ?? 0,
    random: createRandom(seed + 2).next,
    presence: presenceTrialOf(scenario, population, policy, seed + 3),
  });
  return { ...simulation, endSeconds };
}

/** What a policy hears of sessions: an oracle the truth, others what is reported. */
function presenceTrialOf(scenario: Scenario, { sessions }: Population, policy: PolicyName, seed: number) {
  const { reports, statusEverySeconds } = scenario;
  if (reports === undefined || sessions.from.length === 0) return undefined;
  if (policy !== 'presence' && policy !== 'stride-hints' && policy !== 'oracle-of-presence') return undefined;
  const truth = presenceLogOf(sessions);
  if (policy === 'oracle-of-presence') return { reports: truth, truth, statusEverySeconds: undefined };
  return {
    reports: reportsOf(sessions, reports, seed),
    truth,
    statusEverySeconds: policy === 'presence' ? statusEverySeconds : undefined,
  };
}

/** Runs one policy to the end at once. */
export function simulate(
  scenario: Scenario,
  population: Population,
  policy: PolicyName,
  seed: number,
): Freshness {
  const run = createRun(scenario, population, policy, seed);
  run.advance(run.endSeconds);
  return run.result();
}
