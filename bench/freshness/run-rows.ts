import { setImmediate as breathe } from 'node:timers/promises';
import { needsOf, type Row, readRow } from './rows.ts';
import { createRun, createScenarios, type PolicyName, populationOf, type Scenario } from './scenarios.ts';
import type { Freshness } from './simulate.ts';

export interface RunOptions {
  readonly accounts: number;
  readonly seed: number;
  readonly rows: readonly string[];
  /** Called now and then: the work done and the whole of it, in calls, and what is at work. */
  readonly onProgress: (done: number, total: number, note: string) => void;
}

const daySeconds = 86_400;

/** Simulates what the rows need, each scenario and policy once, and reads them off. */
export async function runRows(options: RunOptions): Promise<readonly Row[]> {
  const scenarios = createScenarios(options.accounts);
  const needs = options.rows.map(needsOf);
  const keys = new Set(needs.map(({ scenario }) => scenario));
  const work = [...keys].map((key) => ({
    key,
    scenario: scenarios[key],
    policies: [
      ...new Set(needs.filter(({ scenario }) => scenario === key).flatMap(({ policies }) => policies)),
    ],
  }));
  const total = work.reduce((sum, { scenario, policies }) => sum + callsOf(scenario) * policies.length, 0);
  let done = 0;
  const figures = new Map<string, Partial<Record<PolicyName, Freshness>>>();
  for (const { key, scenario, policies } of work) {
    const population = populationOf(scenario, options.seed);
    const found: Partial<Record<PolicyName, Freshness>> = {};
    for (const policy of policies) {
      const run = createRun(scenario, population, policy, options.seed);
      for (let at = 0; at < run.endSeconds; at += daySeconds / 4) {
        run.advance(at + daySeconds / 4);
        const share = Math.min(1, (at + daySeconds / 4) / run.endSeconds);
        options.onProgress(done + share * callsOf(scenario), total, `${scenario.name}, ${policy}`);
        // A bar is drawn, and Ctrl-C is heard, between two steps.
        await breathe();
      }
      done += callsOf(scenario);
      found[policy] = run.result();
    }
    figures.set(key, found);
  }
  return options.rows.map((name) => {
    const { scenario } = needsOf(name);
    return readRow(name, scenarios[scenario], figures.get(scenario) ?? {});
  });
}

function callsOf(scenario: Scenario): number {
  return scenario.callsPerSecond * (scenario.endDay ?? scenario.toDay) * daySeconds;
}
