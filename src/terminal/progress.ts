import { SingleBar } from 'cli-progress';

/** Shows how far a long piece of work has got. */
export interface Progress {
  /** `done` of the total; `note` is shown beside it. */
  update(done: number, note: string): void;
  stop(): void;
}

const plainEveryMs = 10_000;

/** A bar with rate and time left on a terminal; elsewhere a plain line every ten seconds. Writes to standard error. */
export function createProgress(label: string, total: number): Progress {
  return process.stderr.isTTY ? createBar(label, total) : createLines(label, total);
}

/** Whole lines, with no code that moves a cursor: a log has none. */
function createLines(label: string, total: number): Progress {
  let next = performance.now() + plainEveryMs;
  return {
    update(done, note) {
      if (performance.now() < next) return;
      next = performance.now() + plainEveryMs;
      const share = total > 0 ? `${Math.floor((Math.min(done, total) / total) * 100)}% | ` : '';
      process.stderr.write(`${label} | ${share}${note}\n`);
    },
    stop: () => undefined,
  };
}

/** What is beside the bar has 62 columns at most; the bar gets the rest, so that no line is cut. */
const columnsBeside = 62;

function createBar(label: string, total: number): Progress {
  const bar = new SingleBar({
    format: total > 0 ? `${label} {bar} {percentage}% | {note} | {eta_formatted} left` : `${label} | {note}`,
    stream: process.stderr,
    hideCursor: true,
    clearOnComplete: true,
    etaBuffer: 100,
    barsize: Math.max(5, Math.min(30, (process.stderr.columns ?? 80) - columnsBeside)),
  });
  const whole = Math.max(total, 1);
  let started = false;
  return {
    update(done, note) {
      if (!started) bar.start(whole, 0, { note });
      started = true;
      bar.update(Math.min(done, whole), { note });
    },
    stop() {
      if (started) bar.stop();
      started = false;
    },
  };
}
