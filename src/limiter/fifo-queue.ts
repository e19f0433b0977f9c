import { createAbortListeners } from '../abort-listeners.ts';

/** Callers that wait for their turn, in the order of asking. */
interface FifoQueue {
  size(): number;
  /** Resolves when the caller's turn has come; rejects when `signal` aborts first. */
  wait(signal: AbortSignal): Promise<void>;
  /** Lets the first go, and returns since when it has waited. Undefined when the queue is empty. */
  releaseFirst(): number | undefined;
}

interface Waiter {
  readonly since: number;
  readonly go: () => void;
}

/** An empty line. `now` gives milliseconds, monotonic. */
export function createFifoQueue(now: () => number = () => performance.now()): FifoQueue {
  const aborts = createAbortListeners();
  const waiters = new Set<Waiter>();
  return {
    size: () => waiters.size,
    wait: (signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) {
          reject(signal.reason);
          return;
        }
        const onAbort = () => {
          waiters.delete(waiter);
          reject(signal.reason);
        };
        const waiter: Waiter = {
          since: now(),
          go: () => {
            aborts.remove(signal, onAbort);
            resolve();
          },
        };
        aborts.add(signal, onAbort);
        waiters.add(waiter);
      }),
    releaseFirst() {
      const waiter = waiters.values().next().value;
      if (waiter === undefined) return undefined;
      waiters.delete(waiter);
      waiter.go();
      return waiter.since;
    },
  };
}
