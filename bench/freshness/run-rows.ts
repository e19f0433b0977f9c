import { setImmediate as breathe } from 'node:timers/promises';
import type { Figures } from './figures.ts';
import {
  type PresenceRow,
  presenceRowNames,
  readPresenceRow,
  reportPolicies,
  statusPolicies,
  worldPolicies,
} from './presence-rows.ts';
import { createPresenceScenarios } from './presence-scenarios.ts';
import { needsOf, type Row, readRow, rowNames } from './rows.ts';
import { createRun, createScenarios, type PolicyName, populationOf, type Scenario } from './scenarios.ts';
import type { Freshness } from './simulate.ts';

export interface RunOptions {
  /** How many accounts a scenario has where it leaves that open, and how many where it has sessions. */
  readonly accounts: number;
  readonly presenceAccounts: number;
  readonly seed: number;
  readonly rows: readonly string[];
  /** Called now and then: the work done and the whole of it, in calls, and what is at work. */
  readonly onProgress: (done: number, total: number, note: string) => void;
}

/** A scenario, the policies that it is tried with, and the scenario whose population it shares. */
interface Job {
  readonly scenario: Scenario;
  readonly world: string;
  readonly policies: readonly PolicyName[];
}

/** All rows that were asked for. */
export interface Table {
  readonly rows: readonly Row[];
  /** Those with sessions. */
  readonly presence: readonly PresenceRow[];
}

/** What a row is read from; `figuresOf` gives what a scenario showed. */
interface Plan<R> {
  readonly jobs: readonly Job[];
  read(figuresOf: (scenario: string) => Figures): R;
}

/** The names of all rows, in order. */
export const allRowNames: readonly string[] = [...rowNames, ...presenceRowNames];

const daySeconds = 86_400;

/** Simulates what the rows need, each scenario and policy once, and reads them off. */
export async function runRows(options: RunOptions): Promise<Table> {
  const isPresence = (name: string) => presenceRowNames.includes(name);
  const plans = options.rows
    .filter((name) => !isPresence(name))
    .map((name) => planRow(name, options.accounts));
  const presencePlans = options.rows
    .filter(isPresence)
    .map((name) => planPresenceRow(name, options.presenceAccounts));
  const figures = await runJobs(joined([...plans, ...presencePlans].flatMap(({ jobs }) => jobs)), options);
  const figuresOf = (scenario: string) => figures.get(scenario) ?? {};
  return {
    rows: plans.map(({ read }) => read(figuresOf)),
    presence: presencePlans.map(({ read }) => read(figuresOf)),
  };
}

/** The figures of each scenario by its name. */
async function runJobs(jobs: readonly Job[], options: RunOptions): Promise<ReadonlyMap<string, Figures>> {
  const total = jobs.reduce((sum, job) => sum + callsOf(job.scenario) * job.policies.length, 0);
  let done = 0;
  const figures = new Map<string, Partial<Record<PolicyName, Freshness>>>();
  for (const [world, ofWorld] of Map.groupBy(jobs, (job) => job.world)) {
    const [first] = ofWorld;
    if (first === undefined) continue;
    const population = populationOf(first.scenario, options.seed);
    for (const { scenario, policies } of ofWorld) {
      const found = figures.get(scenario.name) ?? {};
      figures.set(scenario.name, found);
      for (const policy of policies) {
        const run = createRun(scenario, population, policy, options.seed);
        for (let at = 0; at < run.endSeconds; at += daySeconds / 4) {
          run.advance(at + daySeconds / 4);
          const share = Math.min(1, (at + daySeconds / 4) / run.endSeconds);
          options.onProgress(done + share * callsOf(scenario), total, `${world}, ${policy}`);
          // A bar is drawn, and Ctrl-C is heard, between two steps.
          await breathe();
        }
        done += callsOf(scenario);
        found[policy] = run.result();
      }
    }
  }
  return figures;
}

function planRow(name: string, accounts: number): Plan<Row> {
  const needs = needsOf(name);
  const scenario = createScenarios(accounts)[needs.scenario];
  return {
    jobs: [{ scenario, world: scenario.name, policies: needs.policies }],
    read: (figuresOf) => readRow(name, scenario, figuresOf(scenario.name)),
  };
}

function planPresenceRow(name: string, accounts: number): Plan<PresenceRow> {
  const scenarios = createPresenceScenarios(accounts);
  const named = (wanted: string) => {
    const scenario = scenarios.find((candidate) => candidate.name === wanted);
    if (scenario === undefined) throw new RangeError(`no scenario ${wanted}`);
    return scenario;
  };
  const scenario = named(name);
  const world = named(scenario.world);
  return {
    jobs: [
      { scenario: world, world: world.name, policies: worldPolicies },
      { scenario, world: world.name, policies: scenario.reports.to > 0 ? reportPolicies : statusPolicies },
    ],
    read: (figuresOf) => readPresenceRow(scenario, { ...figuresOf(world.name), ...figuresOf(scenario.name) }),
  };
}

/** Each scenario once, with all the policies that rows need of it. */
function joined(jobs: readonly Job[]): readonly Job[] {
  return [...Map.groupBy(jobs, ({ scenario }) => scenario.name).values()].flatMap((same) => {
    const [first] = same;
    if (first === undefined) return [];
    return [{ ...first, policies: [...new Set(same.flatMap(({ policies }) => policies))] }];
  });
}

function callsOf(scenario: Scenario): number {
  return scenario.callsPerSecond * (scenario.endDay ?? scenario.toDay) * daySeconds;
}
