import { fineDuration } from '../../src/terminal/numbers.ts';
import type { Row } from './rows.ts';
import type { PolicyName } from './scenarios.ts';
import type { Freshness } from './simulate.ts';

/** What a policy is called where people read. */
export const policyTitles: Record<PolicyName, string> = {
  'round-robin': 'round robin',
  'halve-and-grow': 'halve on change, grow by half on none',
  stride: 'square-root stride (ours)',
  'stride-changed-only': 'ours, knowing only changed or not',
  oracle: 'clairvoyant oracle',
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

/** The rows as tables for a terminal. */
export function formatRows(rows: readonly Row[]): string {
  return `${rows.map(formatRow).join('\n\n')}\n`;
}

function formatRow(row: Row): string {
  const oracle = row.policies.oracle?.meanSeconds ?? Number.NaN;
  const uniform = row.policies['round-robin']?.meanSeconds ?? Number.NaN;
  const lines = Object.entries(policyTitles).flatMap(([name, title]) => {
    const figures = Object.entries(row.policies).find(([policy]) => policy === name)?.[1];
    return figures === undefined ? [] : [line(title, cells(figures, oracle, uniform))];
  });
  const goals = row.goals.map(
    ({ figure, value, sense, limit, met }) =>
      `  ${met ? 'met   ' : 'MISSED'}  ${figure}: ${value.toFixed(2)}, goal ${sense} ${limit}`,
  );
  return [
    `${row.name}: ${row.title} (${row.accounts.toLocaleString('en-US')} accounts, a round takes ${fineDuration(row.cycleSeconds)})`,
    line('', columns),
    ...lines,
    ...goals,
  ].join('\n');
}

function cells(figures: Freshness, oracle: number, uniform: number): readonly string[] {
  return [
    fineDuration(figures.meanSeconds),
    (figures.meanSeconds / oracle).toFixed(2),
    (uniform / figures.meanSeconds).toFixed(2),
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
