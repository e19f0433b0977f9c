// A process with callers that keep to one limit together with those of other processes.
import { Redis } from 'ioredis';
import { z } from 'zod';
import { createExchange } from '../../src/tencent/exchange.ts';
import { countCalls } from '../support/count-calls.ts';
import { serve } from '../support/serve.ts';
import { type Way, type WayName, type WayOrder, wayNames, wayOrder } from './way.ts';
import { openBottleneck } from './ways/bottleneck.ts';
import { openBullmq } from './ways/bullmq.ts';
import { openOurs } from './ways/ours.ts';
import { openRateLimiterFlexible } from './ways/rate-limiter-flexible.ts';
import { openRetryingBucket } from './ways/retrying-bucket.ts';

const openWay: Readonly<Record<WayName, (order: WayOrder) => Promise<Way>>> = {
  ours: openOurs,
  bullmq: openBullmq,
  rateLimiterFlexible: openRateLimiterFlexible,
  bottleneck: openBottleneck,
  retryingBucket: openRetryingBucket,
};

const begin = wayOrder.extend({
  way: z.enum(wayNames),
  origin: z.string(),
  /** The path at which arrivals are noted. */
  path: z.string(),
});
/** What a process of callers is told. */
export type CallerOrder = z.infer<typeof begin>;

let redisCalls = 0;
countCalls(Redis.prototype, 'sendCommand', () => {
  redisCalls += 1;
});

let way: Way | undefined;
let call = async () => {};
let sent: number[] = [];

serve({
  async begin(value) {
    const order = begin.parse(value);
    const exchange = createExchange({
      origin: order.origin,
      connectMs: 5000,
      answerMs: 5000,
      maxAnswerBytes: 1000,
    });
    const never = new AbortController().signal;
    call = async () => {
      sent.push(performance.timeOrigin + performance.now());
      // One that gets no answer has been sent all the same.
      await exchange.post(order.path, '{}', never).catch(() => undefined);
    };
    way = await openWay[order.way](order);
  },
  start: () => way?.start(call),
  stop: () => way?.stop(),
  /** What was sent since the last report, and all that Redis was asked for. */
  report() {
    const told = { sent, redisCalls };
    sent = [];
    return told;
  },
});
