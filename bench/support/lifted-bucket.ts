import type { TokenBucket } from '../../src/limiter/token-bucket.ts';
import { createWaitingLine } from '../../src/limiter/waiting-line.ts';

/** No limit but one on the calls under way: a bucket for finding out how fast everything else is. */
export interface LiftedBucket extends TokenBucket {
  /** A call has ended. */
  give(): void;
  /** Nobody gets a token until it is opened again. */
  close(): void;
  open(): void;
}

/** A bucket that lets `callsUnderWay` calls run at once. */
export function createLiftedBucket(callsUnderWay: number): LiftedBucket {
  const line = createWaitingLine();
  let underWay = 0;
  let taken = 0;
  let closed = false;

  function pump(): void {
    while (!closed && underWay < callsUnderWay && line.letGo() !== undefined) {
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
    hold: () => Promise.reject(new Error('the vendor of a bench knows no limit')),
    look: () => undefined,
    stats: () => ({ waiting: line.size(), taken, forfeited: 0, waitedMs: 0 }),
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
