import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

/** How a stop reaches what is under way: `soft` ends waiting for a turn, `hard` ends the work itself. */
export interface StopSignals {
  readonly soft: AbortSignal;
  readonly hard: AbortSignal;
}

/** The two steps of a stop: `soft` takes on nothing new, `hard` also ends what is under way. */
export interface Stop extends StopSignals {
  abortSoft(): void;
  abortHard(): void;
}

/** A stop that has not begun. */
export function createStop(): Stop {
  const soft = new AbortController();
  const hard = new AbortController();
  // Every account in flight listens; hundreds are usual, and each takes its listener away again.
  setMaxListeners(0, soft.signal, hard.signal);
  return {
    soft: soft.signal,
    hard: hard.signal,
    abortSoft: () => soft.abort(),
    abortHard: () => {
      soft.abort();
      hard.abort();
    },
  };
}

interface RepeatOptions {
  readonly everyMs: number;
  readonly signal: AbortSignal;
  /** Called for the first failure in a row, and of the first success after it. */
  readonly onFailure: (error: unknown) => void;
  readonly onRecovery?: () => void;
}

/** Runs `once` again and again, with a pause between, until the signal aborts. Resolves after the last run. */
export async function repeat(options: RepeatOptions, once: () => Promise<void>): Promise<void> {
  let failing = false;
  while (!options.signal.aborted) {
    try {
      await once();
      if (failing) options.onRecovery?.();
      failing = false;
    } catch (error) {
      if (!failing) options.onFailure(error);
      failing = true;
    }
    await sleep(options.everyMs, undefined, { signal: options.signal }).catch(() => undefined);
  }
}

/** Waits for `work`, but no longer than `ms`; true when it came to an end. */
export async function within(ms: number, work: Promise<unknown>): Promise<boolean> {
  const timeout = new AbortController();
  try {
    return await Promise.race([
      work.then(() => true),
      sleep(ms, false, { signal: timeout.signal }).catch(() => false),
    ]);
  } finally {
    timeout.abort();
  }
}

/** What `work` comes to; rejects when that takes longer than `ms`. The work itself goes on. */
export async function withTimeout<T>(ms: number, work: Promise<T>): Promise<T> {
  work.catch(() => undefined);
  if (await within(ms, work)) return work;
  throw new Error(`it took longer than ${ms} ms`);
}
