/** A figure and what it should be. */
export interface Goal {
  readonly figure: string;
  readonly value: number;
  readonly sense: '≥' | '≤';
  readonly limit: number;
}

/** A goal as in the JSON of benches. */
interface JudgedGoal {
  readonly name: string;
  readonly goal: string;
  readonly value: number;
  readonly met: boolean;
}

function isMet({ value, sense, limit }: Goal): boolean {
  return sense === '≥' ? value >= limit : value <= limit;
}

/** Says of each goal whether it is met. */
export function judgeGoals(goals: readonly Goal[]): readonly JudgedGoal[] {
  return goals.map((goal) => ({
    name: goal.figure,
    goal: `${goal.sense} ${goal.limit}`,
    value: goal.value,
    met: isMet(goal),
  }));
}

/** Goals as lines that say whether they are met. */
export function formatGoals(goals: readonly Goal[]): string {
  return goals
    .map((goal) => {
      const { figure, value, sense, limit } = goal;
      return `  ${isMet(goal) ? 'met   ' : 'MISSED'}  ${figure}: ${formatFigure(value)}, goal ${sense} ${limit}`;
    })
    .join('\n');
}

/** Three digits of what is small, whole numbers of what is large. */
export function formatFigure(value: number): string {
  if (value === 0) return '0';
  return Math.abs(value) >= 100
    ? Math.round(value).toLocaleString('en-US')
    : String(Number(value.toPrecision(3)));
}

/** Lines of a table: the first column to the left, the others to the right. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join('   '),
    )
    .join('\n');
}
