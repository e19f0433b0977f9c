import type { Redis } from 'ioredis';
import { z } from 'zod';
import { maxHoldMs, type SlotSource, silenceMs } from './slots.ts';

export interface RedisSlotsOptions {
  /** A connection that fails at once when Redis is away, instead of queueing commands. */
  readonly redis: Redis;
  readonly appId: number;
  readonly callsPerSecond: number;
}

/**
 * A reservation of slots (GCRA): the key holds the first free moment, in microseconds of Redis' own clock.
 * A missing key means that the calls of the last second are unknown, so a second of silence comes first;
 * one too far ahead means that Redis' clock was set back, and counts as missing. The key has no TTL:
 * an expired one would cost every idle app that second.
 */
const reserveScript = `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local free = tonumber(redis.call('GET', KEYS[1]))
if not free or free > now + ${(maxHoldMs + silenceMs) * 1000} then free = now + ${silenceMs * 1000} end
if free < now then free = now end
redis.call('SET', KEYS[1], string.format('%.0f', free + ARGV[1] * ARGV[2]))
return {now, free - now}
`;

const holdScript = `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local free = tonumber(redis.call('GET', KEYS[1]))
if not free or free > now + ${(maxHoldMs + silenceMs) * 1000} then free = now + ${silenceMs * 1000} end
redis.call('SET', KEYS[1], string.format('%.0f', math.max(free, now + ARGV[1])))
return 0
`;

const reservation = z.tuple([z.number(), z.number()]);

/** The Redis key that holds one app's bucket. */
export function bucketKey(appId: number): string {
  return `{tim:${appId}}:bucket`;
}

/** Slots shared by every process that uses the same Redis. */
export function createRedisSlots(options: RedisSlotsOptions): SlotSource {
  const { redis } = options;
  const key = bucketKey(options.appId);

  return {
    async reserve(count, stretch = 1) {
      const intervalMs = (1000 / options.callsPerSecond) * stretch;
      const [at, wait] = reservation.parse(await redis.eval(reserveScript, 1, key, count, intervalMs * 1000));
      return { reservedAt: at / 1000, firstInMs: wait / 1000, intervalMs };
    },
    async hold(ms) {
      await redis.eval(holdScript, 1, key, Math.ceil(Math.min(ms, maxHoldMs) * 1000));
    },
    onLost(listener) {
      // Redis may come back with an older state, or as another server.
      redis.on('close', listener);
    },
  };
}
