import type { Answer, TableSize } from './measure.ts';

/** What the bench has found. */
export interface Findings {
  readonly accounts: number;
  readonly groups: number;
  readonly members: number;
  readonly databaseBytes: number;
  /** Tables and indexes: of accounts their state and last outcomes too, of groups and members their past too. */
  readonly bytesPerAccount: number;
  readonly bytesPerGroup: number;
  readonly bytesPerMember: number;
  readonly bytesPerChange: number;
  readonly seconds: { readonly rows: number; readonly indexes: number; readonly questions: number };
  readonly questions: readonly Answer[];
  readonly tables: readonly TableSize[];
  /** What the index for "in whose groups" costs. */
  readonly reverseIndex: {
    readonly bytes: number;
    readonly bytesPerMember: number;
    readonly buildSeconds: number;
    readonly writeMicrosecondsWithout: number;
    readonly writeMicrosecondsWith: number;
  };
  readonly met: boolean;
}

/** The findings as a person reads them on a terminal. */
export function formatFindings(findings: Findings): string {
  const { seconds, reverseIndex: index } = findings;
  const count = (number: number) => Math.round(number).toLocaleString('en-US');
  const answers = findings.questions.map(
    ({ name, rows, firstMs, againMs, worstAgainMs, goalMs, met, plan }) => {
      const goal = goalMs === null ? '' : met ? `met, ${goalMs}` : `MISSED, ${goalMs}`;
      return [
        `  ${name.padEnd(44)}${count(rows).padStart(7)} rows${ms(firstMs)}${ms(againMs)}${ms(worstAgainMs)}  ${goal}`,
        `      ${plan.join(', ')}`,
      ].join('\n');
    },
  );
  const tables = findings.tables.map(
    ({ table, rows, tableBytes, indexBytes, bytesPerRow }) =>
      `  ${table.padEnd(22)}${count(rows).padStart(12)}${mega(tableBytes)}${mega(indexBytes)}${count(bytesPerRow).padStart(7)}`,
  );
  return `${[
    `${count(findings.accounts)} accounts, ${count(findings.groups)} groups, ${count(findings.members)} members: ` +
      `${mega(findings.databaseBytes).trim()}, made in ${seconds.rows.toFixed(0)} s, indexes in ${seconds.indexes.toFixed(0)} s`,
    '',
    `  ${'question'.padEnd(44)}${''.padStart(12)}${'first'.padStart(12)}${'again'.padStart(12)}${'worst'.padStart(12)}  goal, ms`,
    ...answers,
    '',
    `  ${'table'.padEnd(22)}${'rows'.padStart(12)}${'rows'.padStart(12)}${'indexes'.padStart(12)}${'B/row'.padStart(7)}`,
    ...tables,
    '',
    `  bytes on disk, all in all: ${count(findings.bytesPerAccount)} an account, ${count(findings.bytesPerGroup)} a group, ` +
      `${count(findings.bytesPerMember)} a member, ${count(findings.bytesPerChange)} a line of the feed`,
    `  the index for “in whose groups”: ${mega(index.bytes).trim()} (${index.bytesPerMember.toFixed(1)} B a member), ` +
      `made in ${index.buildSeconds.toFixed(0)} s; a new membership is written in ${index.writeMicrosecondsWith.toFixed(1)} µs ` +
      `instead of ${index.writeMicrosecondsWithout.toFixed(1)} µs`,
  ].join('\n')}\n`;
}

const ms = (value: number) => `${value.toFixed(value < 100 ? 1 : 0)} ms`.padStart(12);
const mega = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`.padStart(12);
