import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks';
import { z } from 'zod';

/** What kept this process from its work since the last reading, by cause; milliseconds. */
export const delays = z.object({
  /** By how much the event loop was late, as `monitorEventLoopDelay` sees it. */
  loopP99Ms: z.number(),
  loopMaxMs: z.number(),
  /** Garbage: all together, and the longest. */
  gcMs: z.number(),
  gcMaxMs: z.number(),
  /** JSON, parsed and made: all together, and the longest. */
  jsonMs: z.number(),
  jsonMaxMs: z.number(),
  /** The main thread could have run and was not let: others had the processors. -1 where there is no /proc. */
  awaitingCpuMs: z.number(),
  /** The main thread ran. -1 where there is no /proc. */
  ranMs: z.number(),
});
export type Delays = z.infer<typeof delays>;

/** Begins to watch this process; returns what has been seen since it was last asked. */
export function watchDelays(): () => Delays {
  const loop = monitorEventLoopDelay({ resolution: 1 });
  loop.enable();
  const gc = tally();
  const json = tally();
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) gc.add(entry.duration);
  }).observe({ entryTypes: ['gc'] });
  timeCalls('parse', json.add);
  timeCalls('stringify', json.add);
  let before = readSchedule();

  return () => {
    const now = readSchedule();
    const [gcSeen, jsonSeen] = [gc.take(), json.take()];
    const seen = {
      loopP99Ms: loop.percentile(99) / 1e6,
      loopMaxMs: loop.max / 1e6,
      gcMs: gcSeen.all,
      gcMaxMs: gcSeen.most,
      jsonMs: jsonSeen.all,
      jsonMaxMs: jsonSeen.most,
      awaitingCpuMs: now === undefined || before === undefined ? -1 : now.awaitedMs - before.awaitedMs,
      ranMs: now === undefined || before === undefined ? -1 : now.ranMs - before.ranMs,
    };
    loop.reset();
    before = now;
    return seen;
  };
}

function tally() {
  let all = 0;
  let most = 0;
  return {
    add(ms: number) {
      all += ms;
      most = Math.max(most, ms);
    },
    take() {
      const taken = { all, most };
      all = 0;
      most = 0;
      return taken;
    },
  };
}

function timeCalls(name: 'parse' | 'stringify', onCall: (ms: number) => void): void {
  const original = JSON[name] as (...args: unknown[]) => unknown;
  JSON[name] = (...args: unknown[]): never => {
    const began = performance.now();
    try {
      return original.apply(JSON, args) as never;
    } finally {
      onCall(performance.now() - began);
    }
  };
}

/** Linux reports for the main thread, in nanoseconds, how long it ran and how long it was ready to. */
function readSchedule(): { readonly ranMs: number; readonly awaitedMs: number } | undefined {
  try {
    const [ran, awaited] = readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ');
    return { ranMs: Number(ran) / 1e6, awaitedMs: Number(awaited) / 1e6 };
  } catch {
    return undefined;
  }
}
