import { Redis } from 'ioredis';
import { RateLimiterQueue, RateLimiterRedis } from 'rate-limiter-flexible';
import { askingCallers, type Contender, type ContenderOrder } from '../contender.ts';

/** rate-limiter-flexible: a fixed window in Redis, and its own queue for those who are refused. */
export async function openRateLimiterFlexible(order: ContenderOrder): Promise<Contender> {
  const { redisUrl, appId, callsPerSecond, callers } = order;
  const limiter = new RateLimiterRedis({
    storeClient: new Redis(redisUrl),
    keyPrefix: `flexible-${appId}`,
    points: callsPerSecond,
    duration: 1,
  });
  const queue = new RateLimiterQueue(limiter);
  return askingCallers(callers, () => queue.removeTokens(1));
}
