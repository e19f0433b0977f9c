/** A figure and what it should be. */
export interface Goal {
  readonly figure: string;
  readonly value: number;
  readonly sense: '≥' | '≤';
  readonly limit: number;
}

/** Goals as lines that say whether they are met. */
export function formatGoals(goals: readonly Goal[]): string {
  return goals
    .map(({ figure, value, sense, limit }) => {
      const met = sense === '≥' ? value >= limit : value <= limit;
      return `  ${met ? 'met   ' : 'MISSED'}  ${figure}: ${formatFigure(value)}, goal ${sense} ${limit}`;
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
