import type { Figures } from './figures.ts';
import { type Goal, goal } from './goal.ts';
import { createPresenceScenarios, type PresenceScenario } from './presence-scenarios.ts';
import type { PolicyName } from './scenarios.ts';

/** One row of the table with sessions: what the policy that knows who is online reaches, beside today's. Seconds. */
export interface PresenceRow {
  readonly name: string;
  readonly title: string;
  readonly accounts: number;
  readonly cycleSeconds: number;
  /** Mean delay, as a share of what the policy has that hears no report. */
  readonly ratioToRates: number;
  readonly mean: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly inSyncShare: number;
  readonly oldestAgeInCycles: number;
  /** Polls a second, without the calls that ask who is online. */
  readonly callsPerSecond: number;
  readonly goals: readonly Goal[];
  readonly met: boolean;
  readonly policies: Figures;
}

/** The policies that a world is tried with. What the vendor reports of it makes a difference to the second list. */
export const worldPolicies: readonly PolicyName[] = ['stride', 'oracle', 'oracle-of-presence'];
export const reportPolicies: readonly PolicyName[] = ['stride-hints', 'presence'];
/** A variant without callbacks has none that could be hints. */
export const statusPolicies: readonly PolicyName[] = ['presence'];

/** What other simulations of the same policy reached, as shares of today's delay; the goal has 15 % of room. */
const reached: Readonly<Record<string, number>> = {
  presence: 45 / 534,
  'presence-stationary': 40 / 406,
  'presence-busy': 180 / 463,
  'presence-q5': 112 / 487,
  'presence-q30': 249 / 461,
  'presence-q100': 474 / 476,
  'presence-long': 391 / 466,
  'presence-ten-million': 1405 / 7342,
  'presence-ten-million-busy': 3890 / 6216,
  'presence-small': 16 / 20,
  'presence-small-5s': 3.9 / 11,
  'presence-lost-1': 59 / 588,
  'presence-lost-10': 119 / 573,
  'presence-lost-50': 424 / 600,
  'presence-lost-10-status': 46 / 573,
  'presence-lost-50-status': 72 / 600,
  'presence-status-1': 52 / 547,
  'presence-status-5': 100 / 547,
  'presence-status-15': 233 / 547,
  'presence-status-30': 373 / 547,
  'presence-late': 78 / 594,
  'presence-devices': 142 / 553,
  'presence-devices-status': 57 / 553,
  'presence-stops': 390 / 484,
  'presence-stops-status': 103 / 484,
};
const room = 1.15;
/** Where nothing is to be had, nothing may be lost. */
const noWorse = 1.01;

/** The names of these rows, in order. */
export const presenceRowNames: readonly string[] = createPresenceScenarios(1).map(({ name }) => name);

/** Reads a row from the figures of its world and its own. */
export function readPresenceRow(scenario: PresenceScenario, figures: Figures): PresenceRow {
  const { presence: ours, stride: today } = figures;
  if (ours === undefined || today === undefined) throw new RangeError(`${scenario.name} was not tried`);
  const ratioToRates = ours.meanSeconds / today.meanSeconds;
  const limit = (reached[scenario.name] ?? noWorse / room) * room;
  const goals = goal('mean delay / that of the policy that knows only rates', ratioToRates, 'at most', limit);
  return {
    name: scenario.name,
    title: scenario.title,
    accounts: scenario.habits.accounts,
    cycleSeconds: scenario.habits.accounts / scenario.callsPerSecond,
    ratioToRates,
    mean: ours.meanSeconds,
    p50: ours.p50Seconds,
    p95: ours.p95Seconds,
    p99: ours.p99Seconds,
    inSyncShare: ours.inSyncShare,
    oldestAgeInCycles: ours.oldestAgeInCycles,
    callsPerSecond: ours.callsPerSecond,
    goals,
    met: goals.every(({ met }) => met),
    policies: figures,
  };
}
