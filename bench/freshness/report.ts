import { fineDuration } from '../../src/terminal/numbers.ts';
import type { PresenceRow } from './presence-rows.ts';
import type { Row } from './rows.ts';
import type { Table } from './run-rows.ts';
import type { PolicyName } from './scenarios.ts';
import type { Freshness } from './simulate.ts';

/** What a policy is called where people read. */
export const policyTitles: Record<PolicyName, string> = {
  'round-robin': 'round robin',
  'halve-and-grow': 'halve on change, grow by half on none',
  stride: 'square-root stride (ours)',
  'stride-changed-only': 'ours, knowing only changed or not',
  'stride-hints': 'ours, with callbacks as hints',
  presence: 'ours, knowing who is online',
  oracle: 'clairvoyant oracle',
  'oracle-of-presence': 'oracle that knows who is online too',
};

const columns = [
  'mean',
  '× oracle',
  '× better',
  'p50',
  'p95',
  'p99',
  'in sync',
  'wasted',
  'oldest',
  'calls/s',
];

/** The rows as tables for a terminal. Those with sessions are compared with the policy that hears no report. */
export function formatTable({ rows, presence }: Table): string {
  const texts = [
    ...rows.map((row) => formatRow(row, 'round-robin')),
    ...presence.map((row) => formatRow(row, 'stride')),
  ];
  return `${texts.join('\n\n')}\n`;
}

function formatRow(row: Row | PresenceRow, comparedWith: PolicyName): string {
  const oracle = row.policies.oracle?.meanSeconds ?? Number.NaN;
  const usual = row.policies[comparedWith]?.meanSeconds ?? Number.NaN;
  const lines = Object.entries(policyTitles).flatMap(([name, title]) => {
    const figures = Object.entries(row.policies).find(([policy]) => policy === name)?.[1];
    return figures === undefined ? [] : [line(title, cells(figures, oracle, usual))];
  });
  const goals = row.goals.map(
    ({ figure, value, sense, limit, met }) =>
      `  ${met ? 'met   ' : 'MISSED'}  ${figure}: ${value.toFixed(2)}, goal ${sense} ${Number(limit.toPrecision(3))}`,
  );
  return [
    `${row.name}: ${row.title} (${row.accounts.toLocaleString('en-US')} accounts, a round takes ${fineDuration(row.cycleSeconds)})`,
    line('', columns),
    ...lines,
    ...goals,
  ].join('\n');
}

function cells(figures: Freshness, oracle: number, usual: number): readonly string[] {
  return [
    fineDuration(figures.meanSeconds),
    (figures.meanSeconds / oracle).toFixed(2),
    (usual / figures.meanSeconds).toFixed(2),
    fineDuration(figures.p50Seconds),
    fineDuration(figures.p95Seconds),
    fineDuration(figures.p99Seconds),
    `${(figures.inSyncShare * 100).toFixed(2)} %`,
    `${(figures.wastedShare * 100).toFixed(1)} %`,
    figures.oldestAgeInCycles.toFixed(2),
    figures.callsPerSecond.toFixed(1),
  ];
}

function line(label: string, texts: readonly string[]): string {
  return `  ${label.padEnd(38)}${texts.map((text) => text.padStart(9)).join('')}`;
}
