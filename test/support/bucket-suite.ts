import { setMaxListeners } from 'node:events';
import { expect, test } from 'vitest';
import type { SlotSource } from '../../src/limiter/slots.ts';
import { createTokenBucket, latenessOf, type TokenBucket } from '../../src/limiter/token-bucket.ts';
import { silentLogger } from '../../src/log.ts';

/** The most moments in any sliding second, how many a second on average, and from the first to the last; milliseconds. */
export function measureRate(moments: readonly number[]): {
  readonly worstSecond: number;
  readonly average: number;
  readonly span: number;
} {
  const sorted = moments.toSorted((a, b) => a - b);
  let first = 0;
  let worstSecond = 0;
  for (const [index, moment] of sorted.entries()) {
    while ((sorted[first] ?? moment) <= moment - 1000) first += 1;
    worstSecond = Math.max(worstSecond, index - first + 1);
  }
  const span = (sorted.at(-1) ?? 0) - (sorted[0] ?? 0);
  return { worstSecond, average: span === 0 ? 0 : ((sorted.length - 1) / span) * 1000, span };
}

/** A signal that any number of callers may listen to. */
export function createSignal(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}

/** `callers` that take tokens for `ms`; the moments at which they got them. */
export async function takeFor(bucket: TokenBucket, callers: number, ms: number): Promise<number[]> {
  const moments: number[] = [];
  const stop = createSignal();
  const timer = setTimeout(() => stop.abort(), ms);
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (!stop.signal.aborted) {
        await bucket.take(stop.signal).then(
          () => moments.push(performance.now()),
          () => undefined,
        );
      }
    }),
  );
  clearTimeout(timer);
  return moments;
}

/**
 * What may be measured in a second: 3 more than the rate, as promised, and one that a pause of this process between its
 * slot and the look at the clock has moved.
 */
export const mostInASecond = (rate: number): number => rate + 3 + 1;

/** The rate that may be measured over `span` milliseconds: the first call may have been late, and then the span is too short. */
export const mostOnAverage = (rate: number, span: number): number => rate * (1 + latenessOf(rate) / span);

/** What every token bucket must do, whatever counts its slots. Each call of `open` gives a bucket of a new app. */
export function testTokenBucket(open: (callsPerSecond: number) => SlotSource): void {
  const bucketOf = (callsPerSecond: number) =>
    createTokenBucket({ slots: open(callsPerSecond), callsPerSecond, log: silentLogger() });

  test('the first second is silent: calls of a former process may lie in it', async () => {
    const started = performance.now();
    await bucketOf(100).take(createSignal().signal);
    expect(performance.now() - started).toBeGreaterThanOrEqual(990);
  });

  test.each([20, 190])('at %i a second no sliding second holds more than 3 calls too many', async (rate) => {
    const moments = await takeFor(bucketOf(rate), 50, 3500);
    const { worstSecond, average, span } = measureRate(moments);
    expect(worstSecond).toBeLessThanOrEqual(mostInASecond(rate));
    // A busy machine is late and loses slots, many or few; but it may not gain any.
    expect(average).toBeLessThanOrEqual(mostOnAverage(rate, span));
    expect(average).toBeGreaterThan(rate * 0.3);
  });

  test('callers are served in the order in which they asked', async () => {
    const bucket = bucketOf(190);
    const served: number[] = [];
    await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        bucket.take(createSignal().signal).then(() => {
          served.push(index);
        }),
      ),
    );
    expect(served).toEqual(served.toSorted((a, b) => a - b));
  });

  test('a caller that gives up leaves the line, and those behind it move up', async () => {
    const bucket = bucketOf(190);
    const leaving = createSignal();
    const gone = bucket.take(leaving.signal);
    const stays = bucket.take(createSignal().signal);
    leaving.abort();
    await expect(gone).rejects.toThrow(/abort/i);
    await stays;
    expect(bucket.stats()).toMatchObject({ taken: 1, waiting: 0 });
    await expect(bucket.take(leaving.signal)).rejects.toThrow(/abort/i);
  });

  test('a pause holds all callers back for as long as it says', async () => {
    const bucket = bucketOf(190);
    const signal = createSignal().signal;
    await bucket.take(signal);
    await bucket.pause(700);
    const held = performance.now();
    await bucket.take(signal);
    expect(performance.now() - held).toBeGreaterThanOrEqual(690);
  });
}
