// A process that takes tokens with many callers and reports to its parent when it got them.
import { Redis } from 'ioredis';
import { createStop } from '../../src/lifecycle.ts';
import { createRedisSlots } from '../../src/limiter/redis-slots.ts';
import { createTokenBucket } from '../../src/limiter/token-bucket.ts';
import { silentLogger } from '../../src/log.ts';

/** What a process did since its last report; times in milliseconds since the epoch. */
export interface BucketReport {
  readonly at: number;
  readonly moments: readonly number[];
  readonly missed: number;
}

const callsPerSecond = Number(process.env['RATE']);
const redis = new Redis(process.env['REDIS_URL'] ?? '', { maxRetriesPerRequest: 0 });
const slots = createRedisSlots({ redis, appId: Number(process.env['APP']), callsPerSecond });
const bucket = createTokenBucket({ slots, callsPerSecond, log: silentLogger() });
const stop = createStop();
process.on('message', () => stop.abortSoft());

let fresh: number[] = [];
let reported = 0;
function report(): void {
  const { missed } = bucket.stats();
  const report: BucketReport = {
    at: performance.timeOrigin + performance.now(),
    moments: fresh,
    missed: missed - reported,
  };
  process.send?.(report);
  fresh = [];
  reported = missed;
}
const reporting = setInterval(report, 50);

await Promise.all(
  Array.from({ length: Number(process.env['CALLERS']) }, async () => {
    while (!stop.soft.aborted) {
      await bucket.take(stop.soft).then(
        () => fresh.push(performance.timeOrigin + performance.now()),
        () => undefined,
      );
    }
  }),
);
clearInterval(reporting);
report();
redis.disconnect();
process.disconnect();
