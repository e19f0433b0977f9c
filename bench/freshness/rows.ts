import { defaultMinIntervalSeconds } from '../../src/config/values.ts';
import type { Figures } from './figures.ts';
import { type Goal, goal } from './goal.ts';
import type { createScenarios, PolicyName, Scenario } from './scenarios.ts';
import type { Freshness } from './simulate.ts';

/** What a row with a short round reaches, as shares of what a round robin with as many calls a second does. */
interface BesideRoundRobin {
  readonly mean: number;
  readonly oldestAge: number;
  /** Of the calls that the budget and POLL_MIN_INTERVAL allow, those that were made. */
  readonly callsUsed: number;
}

/** One row of the table: what the daemon's policy reaches, beside round robin and the oracle. Seconds. */
export interface Row {
  readonly name: string;
  readonly title: string;
  readonly accounts: number;
  readonly cycleSeconds: number;
  readonly ratioToOracle: number;
  readonly gainOverUniform: number;
  /** The goal for `ratioToOracle`; null where the row has another. */
  readonly target: number | null;
  readonly gainTarget: number | null;
  readonly mean: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly inSyncShare: number;
  readonly wastedShare: number;
  readonly oldestAgeInCycles: number;
  readonly callsPerSecond: number;
  /** The goals of rows that have others. */
  readonly ratioToCounting?: number;
  readonly ratioToCountingTarget?: number;
  readonly oldestAgeInCyclesTarget?: number;
  /** Of small apps, beside a round robin that makes the same calls a second. */
  readonly besideRoundRobin?: BesideRoundRobin;
  readonly goals: readonly Goal[];
  readonly met: boolean;
  readonly policies: Figures;
}

type ScenarioKey = keyof ReturnType<typeof createScenarios>;

/** A row, the scenario that it is read from, and the policy that it is about. */
interface RowPlan {
  readonly name: string;
  readonly title?: string;
  readonly from: ScenarioKey;
  readonly about?: PolicyName;
  readonly target?: number;
  readonly gainTarget?: number;
  readonly ratioToCountingTarget?: number;
  readonly oldestAgeInCyclesTarget?: number;
  /** No worse than a round robin, and no call left over. */
  readonly smallApp?: true;
}

/** The goals: what was reached when the policy was chosen, and a little room for chance. */
const plans: readonly RowPlan[] = [
  { name: 'stationary', from: 'stationary', target: 1.25, gainTarget: 6 },
  { name: 'drift', from: 'drift', target: 1.55, gainTarget: 5 },
  { name: 'hard', from: 'hard', target: 2.1, gainTarget: 3.4 },
  { name: 'ten-million', from: 'tenMillion', target: 1.75, gainTarget: 4.2 },
  {
    name: 'changed-only',
    title: 'drift, and the sequence shows only that something changed',
    from: 'drift',
    about: 'stride-changed-only',
    ratioToCountingTarget: 1.05,
  },
  { name: 'quarter-budget', from: 'quarterBudget', gainTarget: 3.3 },
  { name: 'hundred', from: 'hundred', smallApp: true },
  { name: 'thousand', from: 'thousand', smallApp: true },
  { name: 'three-thousand', from: 'threeThousand', smallApp: true },
  { name: 'ten-thousand', from: 'tenThousand', smallApp: true },
  { name: 'thirty-thousand', from: 'thirtyThousand', smallApp: true },
  {
    name: 'oldest-age',
    title: 'stationary, how long the last in line waits',
    from: 'stationary',
    oldestAgeInCyclesTarget: 2.8,
  },
];

/** The names of all rows, in order. */
export const rowNames: readonly string[] = plans.map(({ name }) => name);

/** Which scenario a row is read from, and which policies it needs. */
export function needsOf(name: string): {
  readonly scenario: ScenarioKey;
  readonly policies: readonly PolicyName[];
} {
  const plan = planOf(name);
  const usual: readonly PolicyName[] = ['round-robin', 'halve-and-grow', 'stride', 'oracle'];
  return { scenario: plan.from, policies: plan.about === undefined ? usual : [...usual, plan.about] };
}

/** Reads a row from the figures of its scenario. */
export function readRow(name: string, scenario: Scenario, figures: Figures): Row {
  const plan = planOf(name);
  const ours = figureOf(figures, plan.about ?? 'stride');
  const ratioToOracle = ours.meanSeconds / figureOf(figures, 'oracle').meanSeconds;
  const gainOverUniform = figureOf(figures, 'round-robin').meanSeconds / ours.meanSeconds;
  const ratioToCounting = ours.meanSeconds / figureOf(figures, 'stride').meanSeconds;
  const besideRoundRobin = plan.smallApp === true ? compareWithRoundRobin(scenario, ours) : undefined;
  const goals = [
    ...goal('mean delay / oracle', ratioToOracle, 'at most', plan.target),
    ...goal('times better than round robin', gainOverUniform, 'at least', plan.gainTarget),
    ...goal('mean delay / counting', ratioToCounting, 'at most', plan.ratioToCountingTarget),
    ...(besideRoundRobin === undefined ? [] : smallAppGoals(besideRoundRobin)),
    ...goal('oldest age, cycles', ours.oldestAgeInCycles, 'at most', plan.oldestAgeInCyclesTarget),
  ];
  const {
    name: _,
    title: __,
    from: ___,
    about: ____,
    smallApp: _____,
    target,
    gainTarget,
    ...otherTargets
  } = plan;
  return {
    name,
    title: plan.title ?? scenario.title,
    accounts: scenario.habits.accounts,
    cycleSeconds: scenario.habits.accounts / scenario.callsPerSecond,
    ratioToOracle,
    gainOverUniform,
    target: target ?? null,
    gainTarget: gainTarget ?? null,
    mean: ours.meanSeconds,
    p50: ours.p50Seconds,
    p95: ours.p95Seconds,
    p99: ours.p99Seconds,
    inSyncShare: ours.inSyncShare,
    wastedShare: ours.wastedShare,
    oldestAgeInCycles: ours.oldestAgeInCycles,
    callsPerSecond: ours.callsPerSecond,
    ...(plan.ratioToCountingTarget === undefined ? {} : { ratioToCounting }),
    ...otherTargets,
    ...(besideRoundRobin === undefined ? {} : { besideRoundRobin }),
    goals,
    met: goals.every(({ met }) => met),
    policies: figures,
  };
}

/** A round robin over n accounts with c calls a second has a mean delay of n/2c and an oldest age of n/c. */
function compareWithRoundRobin(scenario: Scenario, ours: Freshness): BesideRoundRobin {
  const { accounts } = scenario.habits;
  const round = accounts / ours.callsPerSecond;
  const cycle = accounts / scenario.callsPerSecond;
  return {
    mean: ours.meanSeconds / (round / 2),
    oldestAge: (ours.oldestAgeInCycles * cycle) / round,
    callsUsed: ours.callsPerSecond / Math.min(scenario.callsPerSecond, accounts / defaultMinIntervalSeconds),
  };
}

function smallAppGoals({ mean, oldestAge, callsUsed }: BesideRoundRobin): readonly Goal[] {
  return [
    ...goal('mean delay / round robin with as many calls', mean, 'at most', 1.1),
    ...goal('oldest age / round robin with as many calls', oldestAge, 'at most', 1.1),
    ...goal('calls used of those allowed', callsUsed, 'at least', 0.9),
  ];
}

function planOf(name: string): RowPlan {
  const plan = plans.find((candidate) => candidate.name === name);
  if (plan === undefined) throw new RangeError(`no row ${name}`);
  return plan;
}

function figureOf(figures: Figures, policy: PolicyName): Freshness {
  const figure = figures[policy];
  if (figure === undefined) throw new RangeError(`${policy} was not tried`);
  return figure;
}
