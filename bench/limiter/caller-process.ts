// A process with callers that keep to one limit together with those of other processes.
import { Redis } from 'ioredis';
import { z } from 'zod';
import { createExchange } from '../../src/tencent/exchange.ts';
import { countCalls } from '../support/count-calls.ts';
import { serve } from '../support/serve.ts';
import {
  type Contender,
  type ContenderName,
  type ContenderOrder,
  contenderNames,
  contenderOrder,
} from './contender.ts';
import { openBottleneck } from './contenders/bottleneck.ts';
import { openBullmq } from './contenders/bullmq.ts';
import { openOurs } from './contenders/ours.ts';
import { openRateLimiterFlexible } from './contenders/rate-limiter-flexible.ts';
import { openRetryingBucket } from './contenders/retrying-bucket.ts';

const openContender: Readonly<Record<ContenderName, (order: ContenderOrder) => Promise<Contender>>> = {
  ours: openOurs,
  bullmq: openBullmq,
  rateLimiterFlexible: openRateLimiterFlexible,
  bottleneck: openBottleneck,
  retryingBucket: openRetryingBucket,
};

const begin = contenderOrder.extend({
  contender: z.enum(contenderNames),
  origin: z.string(),
  /** The path at which arrivals are noted. */
  path: z.string(),
});
/** The order to a process of callers. */
export type CallerOrder = z.infer<typeof begin>;

let redisCalls = 0;
countCalls(Redis.prototype, 'sendCommand', () => {
  redisCalls += 1;
});

let contender: Contender | undefined;
let call = async () => {};
let sent: number[] = [];

serve({
  async begin(value) {
    const order = begin.parse(value);
    const exchange = createExchange({
      origin: order.origin,
      connectMs: 5000,
      responseMs: 5000,
      maxResponseBytes: 1000,
    });
    const never = new AbortController().signal;
    call = async () => {
      sent.push(performance.timeOrigin + performance.now());
      // One that gets no answer has been sent all the same.
      await exchange.post(order.path, '{}', never).catch(() => undefined);
    };
    contender = await openContender[order.contender](order);
  },
  start: () => contender?.start(call),
  stop: () => contender?.stop(),
  /** What was sent since the last report, and all that Redis was asked for. */
  report() {
    const reported = { sent, redisCalls };
    sent = [];
    return reported;
  },
});
