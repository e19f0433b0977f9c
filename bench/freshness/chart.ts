import { fineDuration } from '../../src/terminal/numbers.ts';
import { policyTitles } from './report.ts';
import type { Row } from './rows.ts';
import type { PolicyName } from './scenarios.ts';

const shownRows: readonly string[] = ['stationary', 'drift', 'hard', 'ten-million', 'quarter-budget'];
const colours: Readonly<Partial<Record<PolicyName, string>>> = {
  'halve-and-grow': '#b8b8b8',
  'round-robin': '#7f93a8',
  stride: '#d1495b',
  oracle: '#3b8f6b',
};

const width = 860;
const left = 30;
const right = 70;
const barHeight = 14;
const groupGap = 34;
const top = 64;
const shortestSeconds = 60;
const ticks: readonly (readonly [number, string])[] = [
  [60, '1 min'],
  [300, '5 min'],
  [900, '15 min'],
  [3600, '1 h'],
  [4 * 3600, '4 h'],
  [16 * 3600, '16 h'],
];
const legendAt = [0, 260, 400, 600];

/** The mean delay of a change by scenario and policy, on a logarithmic scale; a thin line reaches to the 95th percentile. */
export function drawChart(rows: readonly Row[]): string {
  const shown = rows.filter((row) => shownRows.includes(row.name));
  const policies = Object.keys(colours).filter(isPolicy);
  const longest = Math.max(
    ...shown.flatMap((row) => policies.map((name) => row.policies[name]?.p95Seconds ?? shortestSeconds)),
    3600,
  );
  const place = (seconds: number) =>
    left +
    ((width - left - right) * Math.log(Math.max(seconds, shortestSeconds) / shortestSeconds)) /
      Math.log(longest / shortestSeconds);
  const groupHeight = policies.length * barHeight + groupGap;
  const height = top + shown.length * groupHeight + 24;
  const bottom = height - 24;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11">`,
    `<title>How long a change waits, by scenario and polling policy</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(
      left,
      18,
      'How long a change waits: mean (bar) and 95th percentile (line), logarithmic; shorter is better',
      'font-size="13"',
    ),
    ...policies.map((name, index) => legend(name, left + (legendAt[index] ?? 0))),
    ...ticks
      .filter(([seconds]) => seconds <= longest)
      .map(([seconds, label]) => tick(place(seconds), bottom, label)),
    ...shown.map((row, index) => group(row, policies, top + index * groupHeight, place)),
    '</svg>',
    '',
  ].join('\n');
}

function isPolicy(name: string): name is PolicyName {
  return name in policyTitles;
}

function legend(name: PolicyName, x: number): string {
  return `<rect x="${x}" y="30" width="10" height="10" fill="${colours[name]}"/>${text(x + 15, 39, policyTitles[name])}`;
}

function tick(x: number, bottom: number, label: string): string {
  const line = `<line x1="${round(x)}" y1="${top - 8}" x2="${round(x)}" y2="${bottom}" stroke="#e3e3e3"/>`;
  return line + text(x, bottom + 14, label, 'text-anchor="middle" fill="#666666"');
}

function group(
  row: Row,
  policies: readonly PolicyName[],
  y: number,
  place: (seconds: number) => number,
): string {
  const bars = policies.flatMap((name, index) => {
    const figures = row.policies[name];
    if (figures === undefined) return [];
    const barTop = y + 10 + index * barHeight;
    const middle = barTop + (barHeight - 3) / 2;
    const end = place(figures.meanSeconds);
    const far = place(figures.p95Seconds);
    return [
      `<rect x="${left}" y="${barTop}" width="${round(end - left)}" height="${barHeight - 3}" fill="${colours[name]}"/>`,
      `<line x1="${round(end)}" y1="${middle}" x2="${round(far)}" y2="${middle}" stroke="${colours[name]}"/>`,
      text(far + 4, barTop + 10, fineDuration(figures.meanSeconds)),
    ];
  });
  return [text(left, y + 4, row.title, 'font-weight="bold"'), ...bars].join('\n');
}

function text(x: number, y: number, words: string, attributes = ''): string {
  return `<text x="${round(x)}" y="${round(y)}"${attributes === '' ? '' : ` ${attributes}`}>${words}</text>`;
}

function round(number: number): number {
  return Math.round(number * 10) / 10;
}
