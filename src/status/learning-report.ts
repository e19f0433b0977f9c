import type { LearningCell } from '../../db/queries/learning.ts';
import { type Step, steps } from '../schedule/learning.ts';
import { duration } from '../terminal/numbers.ts';

/** What polls have shown of how accounts change, and whether the policy's assumptions hold. */
interface LearningReport {
  readonly appId: number;
  readonly polls: number;
  /** By the time between two polls. */
  readonly intervals: readonly IntervalRow[];
  /** By how many changes were expected: polls that were to show a change, and those that did. */
  readonly expectations: readonly ExpectationRow[];
  /** Whether a change moves the sequence by one; null before a hundred changes were seen. */
  readonly incrementsAreCounts: boolean | null;
  /** Changes seen for each one predicted; null before a hundred were seen. Near 1, memory and prior fit. */
  readonly seenPerPredicted: number | null;
}

interface IntervalRow {
  readonly fromSeconds: number;
  readonly polls: number;
  readonly steps: Readonly<Record<Step, number>>;
}

interface ExpectationRow {
  readonly fromExpected: number;
  readonly polls: number;
  readonly predicted: number;
  readonly seen: number;
}

/** Below this, few estimates are right. */
const enough = 100;
/** Where so little is expected, two changes between two polls are one case in twenty. */
const rarelyTwo = 0.1;
const mostlyOne = 0.8;

/** Sums up the histogram of an app. */
export function reportLearning(appId: number, cells: readonly LearningCell[]): LearningReport {
  const changed = cells.filter((cell) => cell.step !== 'none');
  const single = changed.filter((cell) => cell.expected / cell.polls <= rarelyTwo);
  const seen = pollsOf(changed);
  const predicted = sum(cells, predictedOf);
  return {
    appId,
    polls: pollsOf(cells),
    intervals: groups(cells, (cell) => cell.intervalLog2).map(([power, some]) => ({
      fromSeconds: 2 ** power,
      polls: pollsOf(some),
      steps: countSteps(some),
    })),
    expectations: groups(cells, (cell) => cell.expectedLog2).map(([power, some]) => ({
      fromExpected: 2 ** power,
      polls: pollsOf(some),
      predicted: sum(some, predictedOf),
      seen: pollsOf(some.filter((cell) => cell.step !== 'none')),
    })),
    incrementsAreCounts:
      pollsOf(single) < enough
        ? null
        : pollsOf(single.filter((cell) => cell.step === 'one')) / pollsOf(single) >= mostlyOne,
    seenPerPredicted: seen < enough || predicted === 0 ? null : seen / predicted,
  };
}

/** Polls that a Poisson process would let show a change. */
function predictedOf({ polls, expected }: LearningCell): number {
  return polls * (1 - Math.exp(-expected / polls));
}

function countSteps(cells: readonly LearningCell[]): Record<Step, number> {
  const of = (step: Step) => pollsOf(cells.filter((cell) => cell.step === step));
  return {
    none: of('none'),
    one: of('one'),
    two: of('two'),
    three_or_four: of('three_or_four'),
    more: of('more'),
    back: of('back'),
    silent: of('silent'),
  };
}

function groups(
  cells: readonly LearningCell[],
  keyOf: (cell: LearningCell) => number,
): readonly (readonly [number, readonly LearningCell[]])[] {
  return [...Map.groupBy(cells, keyOf)].sort(([a], [b]) => a - b);
}

function pollsOf(cells: readonly LearningCell[]): number {
  return sum(cells, (cell) => cell.polls);
}

function sum(cells: readonly LearningCell[], weigh: (cell: LearningCell) => number): number {
  return cells.reduce((total, cell) => total + weigh(cell), 0);
}

/** The report as a person reads it on a terminal. */
export function formatLearning(report: LearningReport): string {
  if (report.polls === 0) return `app ${report.appId}: nothing learnt yet; accounts must be polled twice.\n`;
  const shown = steps.filter((step) => step !== 'none');
  const lines = [
    `app ${report.appId}: ${report.polls.toLocaleString('en-US')} polls of accounts that had been read before`,
    '',
    `  ${'time since the poll before'.padEnd(28)}${['polls', ...shown.map((step) => step.replaceAll('_', ' '))].map(cell).join('')}`,
    ...report.intervals.map(
      ({ fromSeconds, polls, steps: counted }) =>
        `  ${`${duration(fromSeconds)} to ${duration(2 * fromSeconds)}`.padEnd(28)}${[polls, ...shown.map((step) => counted[step])].map(cell).join('')}`,
    ),
    '',
    `  ${'changes expected'.padEnd(28)}${['polls', 'predicted', 'seen'].map(cell).join('')}`,
    ...report.expectations.map(
      ({ fromExpected, polls, predicted, seen }) =>
        `  ${`${short(fromExpected)} to ${short(2 * fromExpected)}`.padEnd(28)}${[polls, Math.round(predicted), seen].map(cell).join('')}`,
    ),
    '',
    `  increments: ${formatIncrements(report.incrementsAreCounts)}`,
    `  estimates:  ${formatEstimates(report.seenPerPredicted)}`,
  ];
  return `${lines.join('\n')}\n`;
}

function formatIncrements(areCounts: boolean | null): string {
  if (areCounts === null) return 'not known yet, a hundred changes have to be seen';
  return areCounts
    ? 'look like counts: a change moves the sequence by one'
    : 'do not look like counts: a change moves the sequence by more, or comes with others; they are clipped to what is plausible';
}

function formatEstimates(seenPerPredicted: number | null): string {
  if (seenPerPredicted === null) return 'not known yet, a hundred changes have to be seen';
  const figure = `${seenPerPredicted.toFixed(2)} changes seen for each one predicted`;
  return seenPerPredicted > 0.8 && seenPerPredicted < 1.25
    ? `memory and prior fit (${figure})`
    : `memory and prior do not fit well (${figure}); see docs/freshness.md`;
}

function short(value: number): string {
  return value >= 1 ? String(value) : value.toPrecision(2);
}

function cell(value: string | number): string {
  return (typeof value === 'number' ? value.toLocaleString('en-US') : value).padStart(14);
}
