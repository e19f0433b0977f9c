import { repeat } from '../src/lifecycle.ts';
import type { Logger } from '../src/log.ts';

/** What the daemon does again and again beside its queues. */
export interface Loops {
  /** Runs `once` every `everyMs` until the daemon stops. */
  run(name: string, everyMs: number, once: () => Promise<void>): void;
  /** Seconds since each loop last began or ended a round. */
  ages(): ReadonlyMap<string, number>;
  /** Resolves when the daemon stops and each loop has ended its round. */
  ended(): Promise<unknown>;
}

interface LoopsOptions {
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** Takes a failure; returns whether it is logged elsewhere. */
  readonly failed: (error: unknown) => boolean;
}

export function createLoops({ signal, log, failed }: LoopsOptions): Loops {
  const beats = new Map<string, number>();
  const running: Promise<void>[] = [];
  return {
    run(name, everyMs, once) {
      // What is logged as the problem of a server is logged there when it is over, too.
      let elsewhere = false;
      const onFailure = (error: unknown) => {
        elsewhere = failed(error);
        log[elsewhere ? 'debug' : 'warn']({ err: error, loop: name }, 'loop fails; it tries again');
      };
      const onRecovery = () => log[elsewhere ? 'debug' : 'info']({ loop: name }, 'loop has recovered');
      running.push(
        repeat({ everyMs, signal, onFailure, onRecovery }, async () => {
          beats.set(name, performance.now());
          await once();
          beats.set(name, performance.now());
        }),
      );
    },
    ages: () => new Map([...beats].map(([name, at]) => [name, (performance.now() - at) / 1000])),
    ended: () => Promise.all(running),
  };
}
