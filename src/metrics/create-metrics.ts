import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { droppedLogLines } from '../log-stream.ts';
import { counters, histograms, processGauges } from './definitions.ts';
import { createPeakRate } from './peak-rate.ts';

/** The metrics of one process. */
export interface Metrics {
  /** Where everything is registered. */
  readonly registry: Registry;
  /** Counts what an app does. */
  forApp(appId: number, limit: number): AppMetrics;
  /** A callback was not taken: not signed, not one of our apps, or not what the vendor sends. */
  callbackRefused(): void;
  /** A job of another installation was in our queue. */
  jobRefused(queue: string): void;
}

/** What is measured of one app; times in seconds. */
export interface AppMetrics {
  tokenTaken(waited: number): void;
  /** A slot was used or given up, `late` seconds after its moment. */
  slotCame(late: number): void;
  callSent(): void;
  callEnded(outcome: string, took: number): void;
  polled(outcome: string, took: number): void;
  failed(kind: string): void;
  writesRefused(stateClass: string, writes: number): void;
  changed(kind: string, changes: number): void;
  /** An account was compared with the vendor. */
  compared(outcome: string): void;
  /** An answer listed fewer friends than it counted. */
  shortResponse(): void;
  batchDone(took: number): void;
  calledBack(kind: string): void;
  hintsForgotten(accounts: number): void;
  /** Gives the number of slots missed so far, whenever it is asked. */
  countMissedSlots(read: () => number): void;
}

/** Metrics of their own registry, with those of Node itself. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const calls = new Counter({ ...counters.calls, registers });
  const polls = new Counter({ ...counters.polls, registers });
  const failures = new Counter({ ...counters.failures, registers });
  const refusedWrites = new Counter({ ...counters.refusedWrites, registers });
  const changes = new Counter({ ...counters.changes, registers });
  const compared = new Counter({ ...counters.compared, registers });
  const shortResponses = new Counter({ ...counters.shortResponses, registers });
  const callbacks = new Counter({ ...counters.callbacks, registers });
  const refusedCallbacks = new Counter({ ...counters.refusedCallbacks, registers });
  const refusedJobs = new Counter({ ...counters.refusedJobs, registers });
  const forgottenHints = new Counter({ ...counters.forgottenHints, registers });
  const callDuration = new Histogram({ ...histograms.callDuration, registers });
  const tokenWait = new Histogram({ ...histograms.tokenWait, registers });
  const slotLateness = new Histogram({ ...histograms.slotLateness, registers });
  const pollDuration = new Histogram({ ...histograms.pollDuration, registers });
  const batchDuration = new Histogram({ ...histograms.batchDuration, registers });
  const limits = new Gauge({ ...processGauges.limit, registers });
  const missed = new Map<string, () => number>();
  new Counter({
    ...counters.missed,
    registers,
    collect() {
      this.reset();
      for (const [app, read] of missed) this.inc({ app }, read());
    },
  });
  new Counter({
    ...counters.droppedLogLines,
    registers,
    collect() {
      this.reset();
      this.inc(droppedLogLines());
    },
  });
  const peaks = new Map<string, () => number>();
  new Gauge({
    ...processGauges.peakCalls,
    registers,
    collect() {
      for (const [app, peak] of peaks) this.set({ app }, peak());
    },
  });

  return {
    registry,
    callbackRefused: () => refusedCallbacks.inc(),
    jobRefused: (queue) => refusedJobs.inc({ queue }),
    forApp(appId, limit) {
      const app = String(appId);
      const { note, peak } = createPeakRate();
      peaks.set(app, peak);
      limits.set({ app }, limit);
      return {
        tokenTaken: (waited) => tokenWait.observe({ app }, waited),
        slotCame: (late) => slotLateness.observe({ app }, late),
        callSent: note,
        callEnded(outcome, took) {
          calls.inc({ app, outcome });
          callDuration.observe({ app }, took);
        },
        polled(outcome, took) {
          polls.inc({ app, outcome });
          pollDuration.observe({ app }, took);
        },
        failed: (kind) => failures.inc({ app, class: kind }),
        writesRefused: (stateClass, writes) => refusedWrites.inc({ app, sqlstate: stateClass }, writes),
        changed: (kind, written) => changes.inc({ app, kind }, written),
        compared: (outcome) => compared.inc({ app, outcome }),
        shortResponse: () => shortResponses.inc({ app }),
        calledBack: (kind) => callbacks.inc({ app, kind }),
        hintsForgotten: (accounts) => forgottenHints.inc({ app }, accounts),
        batchDone: (took) => batchDuration.observe({ app }, took),
        countMissedSlots: (read) => void missed.set(app, read),
      };
    },
  };
}
