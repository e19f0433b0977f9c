import type { Redis } from 'ioredis';
import { z } from 'zod';
import { redisTag } from '../config/redis-servers.ts';
import { longestPauseMs, quietPeriodMs, type SlotSource } from './slots.ts';

interface RedisSlotsOptions {
  /** A connection that fails at once when Redis is away, instead of queueing commands. */
  readonly redis: Redis;
  readonly appId: number;
  readonly callsPerSecond: number;
}

/**
 * The record of an app: the first free moment, in microseconds of Redis' own clock, and the epoch that it was written
 * under. A server begins a new epoch (`master_replid`) when it starts and when it is promoted from a replica.
 *
 * A quiet second comes first where the calls of the last second are unknown: the record is missing; it is of
 * another epoch, so what was reserved last may not have reached this server, and the old master may still be giving
 * slots to those who can't see this one; or it is so far ahead that the clock must have been set back. The epoch is
 * asked of the server that runs the script, so neither a proxy nor a cluster's redirection can mistake it.
 *
 * The key has no TTL: an expired one would cost every idle app that second.
 */
const readRecord = `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local epoch = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or 'none'
local free, under = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (%w+)$')
free = tonumber(free)
if not free or free > now + ${(longestPauseMs + quietPeriodMs) * 1000} then free = now + ${quietPeriodMs * 1000} end
if under ~= epoch then free = math.max(free, now + ${quietPeriodMs * 1000}) end
if free < now then free = now end
`;

const writeRecord = (free: string) => `
redis.call('SET', KEYS[1], string.format('%.0f %s', ${free}, epoch))
`;

/** A reservation of slots (GCRA): ARGV holds their number and the microseconds between them. */
const reserveScript = `${readRecord}${writeRecord('free + ARGV[1] * ARGV[2]')}return {now, free - now}`;

const pauseScript = `${readRecord}${writeRecord('math.max(free, now + ARGV[1])')}return 0`;

const reservation = z.tuple([z.number(), z.number()]);

/** The Redis key that holds one app's bucket. */
export function bucketKey(appId: number): string {
  return `${redisTag(appId)}:bucket`;
}

/** Slots shared by every process that uses the same Redis. */
export function createRedisSlots(options: RedisSlotsOptions): SlotSource {
  const { redis } = options;
  const key = bucketKey(options.appId);

  return {
    async reserve(count, slowdown = 1) {
      const intervalMs = (1000 / options.callsPerSecond) * slowdown;
      const [at, wait] = reservation.parse(await redis.eval(reserveScript, 1, key, count, intervalMs * 1000));
      return { reservedAt: at / 1000, firstInMs: wait / 1000, intervalMs };
    },
    async pause(ms) {
      await redis.eval(pauseScript, 1, key, Math.ceil(Math.min(ms, longestPauseMs) * 1000));
    },
    onLost(listener) {
      // Redis may come back with an older state, or as another server.
      redis.on('close', listener);
    },
  };
}
