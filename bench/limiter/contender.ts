import { z } from 'zod';

export const contenderNames = [
  'ours',
  'bullmq',
  'rateLimiterFlexible',
  'bottleneck',
  'retryingBucket',
] as const;
/** Ways to keep several processes under one limit. */
export type ContenderName = (typeof contenderNames)[number];

export const contenderOrder = z.object({
  redisUrl: z.string(),
  /** What the processes share: an app's number, of which the contender makes its key. */
  appId: z.number(),
  callsPerSecond: z.number(),
  callers: z.number(),
});
export type ContenderOrder = z.infer<typeof contenderOrder>;

/** One process' part in a contender. */
export interface Contender {
  /** Has its callers make `call` whenever the limit lets them, again and again. */
  start(call: () => Promise<void>): void;
  /** Resolves when no caller is left. */
  stop(): Promise<void>;
}

/** A contender by which each caller asks for leave, makes its call, and asks again. */
export function askingCallers(callers: number, leave: (signal: AbortSignal) => Promise<unknown>): Contender {
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
