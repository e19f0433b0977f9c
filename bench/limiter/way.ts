import { z } from 'zod';

export const wayNames = ['ours', 'bullmq', 'rateLimiterFlexible', 'bottleneck', 'retryingBucket'] as const;
/** Ways to keep several processes under one limit. */
export type WayName = (typeof wayNames)[number];

export const wayOrder = z.object({
  redisUrl: z.string(),
  /** What the processes share: an app's number, of which the way makes its key. */
  appId: z.number(),
  callsPerSecond: z.number(),
  callers: z.number(),
});
export type WayOrder = z.infer<typeof wayOrder>;

/** One process' part in a way. */
export interface Way {
  /** Has its callers make `call` whenever the limit lets them, again and again. */
  start(call: () => Promise<void>): void;
  /** Resolves when nobody calls any more. */
  stop(): Promise<void>;
}

/** A way by which each caller asks for leave, makes its call, and asks again. */
export function askingCallers(callers: number, leave: (signal: AbortSignal) => Promise<unknown>): Way {
  let stop = new AbortController();
  let ended: Promise<unknown> = Promise.resolve();
  return {
    start(call) {
      stop = new AbortController();
      const { signal } = stop;
      const ask = async () => {
        while (!signal.aborted) {
          try {
            await leave(signal);
          } catch (error) {
            if (signal.aborted) return;
            throw error;
          }
          if (!signal.aborted) await call();
        }
      };
      ended = Promise.all(Array.from({ length: callers }, ask));
    },
    async stop() {
      stop.abort();
      await ended;
    },
  };
}
