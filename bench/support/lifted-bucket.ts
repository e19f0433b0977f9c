import { createFifoQueue } from '../../src/limiter/fifo-queue.ts';
import type { TokenBucket } from '../../src/limiter/token-bucket.ts';

/** No limit but one on the calls under way: a bucket for finding out how fast everything else is. */
export interface LiftedBucket extends TokenBucket {
  /** A call has ended. */
  give(): void;
  /** No caller gets a token until it is opened again. */
  close(): void;
  open(): void;
}

/** A bucket that lets `callsUnderWay` calls run at once. */
export function createLiftedBucket(callsUnderWay: number): LiftedBucket {
  const line = createFifoQueue();
  let underWay = 0;
  let taken = 0;
  let closed = false;

  function pump(): void {
    while (!closed && underWay < callsUnderWay && line.releaseFirst() !== undefined) {
      underWay += 1;
      taken += 1;
    }
  }

  return {
    take(signal) {
      const turn = line.wait(signal);
      pump();
      return turn;
    },
    pause: () => Promise.reject(new Error('the vendor of a bench knows no limit')),
    releaseDue: () => undefined,
    stats: () => ({ waiting: line.size(), taken, missed: 0, waitedMs: 0 }),
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
