import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { createLocalSlots } from '../../src/limiter/local-slots.ts';
import type { SlotSource } from '../../src/limiter/slots.ts';
import { createTokenBucket } from '../../src/limiter/token-bucket.ts';
import { silentLogger } from '../../src/log.ts';
import {
  createSignal,
  measureRate,
  mostInASecond,
  takeFor,
  testTokenBucket,
} from '../support/bucket-suite.ts';
import { waitFor } from '../support/wait-for.ts';

describe('a token bucket that counts in process', () => {
  testTokenBucket((callsPerSecond) => createLocalSlots({ callsPerSecond }));

  test('never opens while this process may not be alone, and is silent for a second afterwards', async () => {
    let exclusive = false;
    const slots = createLocalSlots({ callsPerSecond: 100, isExclusive: () => exclusive });
    const bucket = createTokenBucket({ slots, callsPerSecond: 100, log: silentLogger() });
    let taken = 0;
    const took = bucket.take(createSignal().signal).then(() => {
      taken += 1;
    });
    await expect(waitFor('a token', () => taken > 0, 1500)).rejects.toThrow(/in vain/);
    exclusive = true;
    const regained = performance.now();
    await took;
    expect(performance.now() - regained).toBeGreaterThanOrEqual(990);
  });
});

describe('a token bucket', () => {
  test('gives slots up that come too late, instead of letting calls bunch', async () => {
    const bucket = createTokenBucket({
      slots: createLocalSlots({ callsPerSecond: 190 }),
      callsPerSecond: 190,
      log: silentLogger(),
    });
    // The event loop is still for a tenth of a second, again and again.
    const blocker = setInterval(() => {
      for (const start = performance.now(); performance.now() - start < 100; );
    }, 400);
    const { worstSecond } = measureRate(await takeFor(bucket, 50, 3500));
    clearInterval(blocker);
    expect(worstSecond).toBeLessThanOrEqual(193);
    expect(bucket.stats().missed).toBeGreaterThan(10);
  });

  test('uses no slot that was reserved before a pause and comes after it began', async () => {
    const source = createLocalSlots({ callsPerSecond: 20 });
    // A new source is silent for a second, which would hide the pause.
    const { reservedAt, firstInMs } = await source.reserve(1);
    await waitFor('the end of the silent second', () => performance.now() > reservedAt + firstInMs);
    const [underWay, answer] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const slots: SlotSource = {
      ...source,
      async reserve(count, slowdown) {
        const reservation = await source.reserve(count, slowdown);
        underWay.resolve();
        await answer.promise;
        return reservation;
      },
    };
    const bucket = createTokenBucket({ slots, callsPerSecond: 20, log: silentLogger() });
    const took = bucket.take(createSignal().signal);
    await underWay.promise;
    const paused = performance.now();
    await bucket.pause(1000);
    answer.resolve();
    await took;
    expect(performance.now() - paused).toBeGreaterThanOrEqual(990);
  });

  test('sends as many where reservations take long, and sends none of them bunched', async () => {
    const rate = 190;
    const bucketOf = (slots: SlotSource) =>
      createTokenBucket({ slots, callsPerSecond: rate, log: silentLogger() });
    const near = createLocalSlots({ callsPerSecond: rate });
    const farther = createLocalSlots({ callsPerSecond: rate });
    const far: SlotSource = {
      ...farther,
      async reserve(count, slowdown) {
        await sleep(60 * Math.random() ** 3);
        const reserved = await farther.reserve(count, slowdown);
        await sleep(60 * Math.random() ** 3);
        return reserved;
      },
    };
    const [quick, slow] = await Promise.all([near, far].map((slots) => takeFor(bucketOf(slots), 100, 4500)));
    const worst = measureRate(slow ?? []).worstSecond;
    expect(worst).toBeLessThanOrEqual(mostInASecond(rate));
    // Beside the other, for this machine may be busy: it gets 0.8 to 1 of what the other gets, and 0.4 to 0.5 where
    // reservations do not grow with the time that they take.
    expect(slow?.length).toBeGreaterThan(0.65 * (quick?.length ?? 0));
  });

  test('slots that were lost are not used', async () => {
    const lost: (() => void)[] = [];
    const slots: SlotSource = {
      reserve: async () => ({ reservedAt: performance.now(), firstInMs: 50, intervalMs: 5 }),
      pause: async () => undefined,
      onLost: (listener) => lost.push(listener),
    };
    const bucket = createTokenBucket({ slots, callsPerSecond: 190, log: silentLogger() });
    const taking = Promise.all(Array.from({ length: 5 }, () => bucket.take(createSignal().signal)));
    // The reservation comes without a turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    for (const listener of lost) listener();
    expect(bucket.stats().missed).toBe(5);
    await taking;
    expect(bucket.stats().taken).toBe(5);
  });

  test('waits while nothing can be reserved, and goes on by itself', async () => {
    let failing = true;
    const slots: SlotSource = {
      async reserve() {
        if (failing) throw new Error('away');
        return { reservedAt: performance.now(), firstInMs: 0, intervalMs: 5 };
      },
      pause: async () => undefined,
      onLost: () => undefined,
    };
    const bucket = createTokenBucket({ slots, callsPerSecond: 190, log: silentLogger() });
    const taking = bucket.take(createSignal().signal);
    await expect(waitFor('a token', () => bucket.stats().taken > 0, 600)).rejects.toThrow(/in vain/);
    failing = false;
    await taking;
  });
});
