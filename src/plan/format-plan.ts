import { fineDuration } from '../terminal/numbers.ts';
import type { Expectation } from './expect-freshness.ts';
import type { Plan } from './plan-budget.ts';

/** The plan as a person reads it on a terminal; `about` says whose accounts, `assumed` what it rests on. */
export function formatPlan(plan: Plan, about: string, assumed: readonly string[]): string {
  const { expected } = plan;
  const { roundRobin } = expected;
  const better = roundRobin.meanSeconds / expected.meanSeconds;
  return [
    `${about}, ${expected.callsPerSecond} calls a second`,
    '',
    row('', ['expected', 'round robin']),
    row('a change waits, on average', [
      fineDuration(expected.meanSeconds),
      fineDuration(roundRobin.meanSeconds),
    ]),
    row('95 % of changes wait no longer than', [
      fineDuration(expected.p95Seconds),
      fineDuration(roundRobin.p95Seconds),
    ]),
    row('no change waits longer than', [
      fineDuration(expected.worstSeconds),
      fineDuration(roundRobin.worstSeconds),
    ]),
    row('calls used', [`${expected.callsUsedPerSecond.toFixed(0)}/s`, `${expected.callsPerSecond}/s`]),
    row('first read of every account takes', [fineDuration(expected.firstReadSeconds)]),
    '',
    ...conclusion(expected, better),
    'Another share of the vendor’s limit of 200 calls a second would bring:',
    row('calls a second', ['average', '95 %', 'longest', 'first read']),
    ...plan.compared.map(compared),
    '',
    ...assumed,
    '',
  ].join('\n');
}

function conclusion(expected: Expectation, better: number): readonly string[] {
  if (expected.minIntervalHolds)
    return [
      'POLL_MIN_INTERVAL decides how old the mirror is: the budget would read every account more often.',
      '',
    ];
  if (better >= 1) return [`That is ${better.toFixed(1)} times as fresh as round robin.`, ''];
  // Round robin at the whole budget would call without end.
  const share = expected.callsUsedPerSecond / expected.callsPerSecond;
  return [
    `The budget is plentiful: POLL_MIN_INTERVAL leaves ${(share * 100).toFixed(0)} % of the calls to make.`,
    '',
  ];
}

function compared(expected: Expectation): string {
  return row(String(expected.callsPerSecond), [
    fineDuration(expected.meanSeconds),
    fineDuration(expected.p95Seconds),
    fineDuration(expected.worstSeconds),
    fineDuration(expected.firstReadSeconds),
  ]);
}

function row(label: string, cells: readonly string[]): string {
  return `  ${label.padEnd(36)}${cells.map((cell) => cell.padStart(12)).join('')}`;
}
