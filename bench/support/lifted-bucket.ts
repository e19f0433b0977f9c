import { createAbortListeners } from '../../src/abort-listeners.ts';
import type { TokenBucket } from '../../src/limiter/token-bucket.ts';

/** No limit but one on the calls under way: a bucket for finding out how fast everything else is. */
export interface LiftedBucket extends TokenBucket {
  /** A call has ended. */
  give(): void;
  /** Nobody gets a token until it is opened again. */
  close(): void;
  open(): void;
}

interface Waiter {
  readonly go: () => void;
}

/** A bucket that lets `callsUnderWay` calls run at once. */
export function createLiftedBucket(callsUnderWay: number): LiftedBucket {
  const aborts = createAbortListeners();
  const waiters = new Set<Waiter>();
  let underWay = 0;
  let taken = 0;
  let closed = false;

  function pump(): void {
    for (const waiter of waiters) {
      if (closed || underWay >= callsUnderWay) return;
      waiters.delete(waiter);
      underWay += 1;
      taken += 1;
      waiter.go();
    }
  }

  return {
    take(signal) {
      return new Promise((resolve, reject) => {
        if (signal.aborted) {
          reject(signal.reason);
          return;
        }
        const onAbort = () => {
          waiters.delete(waiter);
          reject(signal.reason);
        };
        const waiter: Waiter = {
          go: () => {
            aborts.remove(signal, onAbort);
            resolve();
          },
        };
        aborts.add(signal, onAbort);
        waiters.add(waiter);
        pump();
      });
    },
    hold: () => Promise.reject(new Error('the vendor of a bench knows no limit')),
    look: () => undefined,
    stats: () => ({ waiting: waiters.size, taken, forfeited: 0, waitedMs: 0 }),
    give() {
      underWay -= 1;
      pump();
    },
    close() {
      closed = true;
    },
    open() {
      closed = false;
      pump();
    },
  };
}
