import type { ChangeLine } from '../../db/queries/changes.ts';
import type { MirrorTotals } from '../../db/queries/mirror.ts';
import type { AppStatus } from '../../src/status/status.ts';
import { formatChange } from '../../src/terminal/change-line.ts';
import { count, duration } from '../../src/terminal/numbers.ts';
import { printable } from '../../src/terminal/printable.ts';

/** What the demo shows of itself at one moment. */
interface DemoMoment {
  readonly seconds: number;
  readonly app: AppStatus;
  readonly totals: MirrorTotals;
  /** Over the last second. */
  readonly callsPerSecond: number;
  readonly newest: readonly ChangeLine[];
}

/** Shows moments: redrawn in place on a terminal, a line each elsewhere. */
interface DemoScreen {
  show(moment: DemoMoment): void;
}

/** A screen on standard output. */
export function createScreen(): DemoScreen {
  let drawn = 0;
  return {
    show(moment) {
      const lines = process.stdout.isTTY ? block(moment) : [summaryLine(moment)];
      const up = drawn > 0 && process.stdout.isTTY ? `\u001b[${drawn}F\u001b[J` : '';
      process.stdout.write(`${up}${lines.join('\n')}\n`);
      drawn = lines.length;
    },
  };
}

/** How often to show a moment: a terminal can be watched, a log grows. */
export const showEveryMs = process.stdout.isTTY ? 500 : 2000;

function block(moment: DemoMoment): string[] {
  const { app, totals } = moment;
  const read = app.accounts.total - app.accounts.neverPolled;
  const width = 30;
  const done = app.accounts.total === 0 ? 0 : Math.round((read / app.accounts.total) * width);
  return [
    headline(app),
    `  read      ${'█'.repeat(done)}${'░'.repeat(width - done)} ${count(read)} of ${count(app.accounts.total)} accounts`,
    `  mirror    ${count(totals.groups)} groups, ${count(totals.members)} members`,
    `  calls     ${String(moment.callsPerSecond).padStart(3)}/s of ${app.calls.limit}/s allowed`,
    `  age       ${app.ageSeconds.p50 === null ? '-' : `half under ${duration(app.ageSeconds.p50)}, oldest ${duration(app.ageSeconds.oldest)}`}`,
    `  changes   ${count(totals.changes)} written to the feed; the newest:`,
    ...moment.newest.map((change) => `            ${printable(change.accountId)}  ${formatChange(change)}`),
  ].map(fit);
}

function summaryLine(moment: DemoMoment): string {
  const { app, totals } = moment;
  const read = app.accounts.total - app.accounts.neverPolled;
  return (
    `${String(Math.round(moment.seconds)).padStart(4)} s  ${read}/${app.accounts.total} accounts read, ` +
    `${totals.groups} groups, ${totals.members} members, ${totals.changes} changes, ` +
    `${moment.callsPerSecond} calls/s${app.halt === null ? '' : `; ${headline(app)}`}`
  );
}

/** How the app is doing, in a sentence. */
export function headline(app: AppStatus): string {
  return app.halt === null
    ? `app ${app.appId}: mirroring`
    : `app ${app.appId}: HALTED, the vendor refuses it (${app.halt.code} ${printable(app.halt.message)}). ${app.halt.remedy}`;
}

/** One line of the terminal each, or moving up would miss. */
function fit(line: string): string {
  const columns = process.stdout.columns ?? 80;
  return line.length < columns ? line : `${line.slice(0, columns - 2)}…`;
}
