import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { z } from 'zod';
import { askingCallers, type Contender, type ContenderOrder } from '../contender.ts';

/** Tokens that gather while no call is made. */
const burst = 10;

/** Takes a token and returns 0, or the milliseconds until there is one. */
const takeScript = `
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local held = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = math.min(ARGV[2], (tonumber(held[1]) or ARGV[2]) + (now - (tonumber(held[2]) or now)) * ARGV[1] / 1000)
if tokens < 1 then return math.ceil((1 - tokens) * 1000 / ARGV[1]) end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens - 1), 'at', string.format('%.3f', now))
return 0
`;

/** The token bucket of the textbooks: who is refused sleeps until there is a token, and tries again. */
export async function openRetryingBucket(order: ContenderOrder): Promise<Contender> {
  const { redisUrl, appId, callsPerSecond, callers } = order;
  const redis = new Redis(redisUrl);
  const take = async () =>
    z.number().parse(await redis.eval(takeScript, 1, `bucket-${appId}`, callsPerSecond, burst));
  return askingCallers(callers, async (signal) => {
    for (let wait = await take(); wait > 0 && !signal.aborted; wait = await take()) await sleep(wait);
  });
}
