import stringWidth from 'string-width';

interface Column {
  readonly title: string;
  readonly align?: 'right';
}

const gap = '  ';

/** Rows in columns, as wide as a terminal shows them: a Chinese character takes two places. No blanks at line ends. */
export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const titles = columns.map(({ title }) => title);
  const widths = titles.map((_, index) =>
    Math.max(...[titles, ...rows].map((row) => stringWidth(row[index] ?? ''))),
  );
  const line = (row: readonly string[]) =>
    row
      .map((text, index) => pad(text, widths[index] ?? 0, columns[index]?.align))
      .join(gap)
      .trimEnd();
  return [titles, ...rows].map((row) => `${line(row)}\n`).join('');
}

/** Texts with commas between them, in lines no wider than `width` where that can be; at least one line. */
export function wrapList(texts: readonly string[], width: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const [index, text] of texts.entries()) {
    const item = index === texts.length - 1 ? text : `${text},`;
    const longer = line === '' ? item : `${line} ${item}`;
    if (line !== '' && stringWidth(longer) > width) {
      lines.push(line);
      line = item;
    } else line = longer;
  }
  return [...lines, line];
}

function pad(text: string, width: number, align: Column['align']): string {
  const blanks = ' '.repeat(Math.max(0, width - stringWidth(text)));
  return align === 'right' ? blanks + text : text + blanks;
}
