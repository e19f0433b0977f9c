import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createRemoteClock } from '../../src/limiter/remote-clock.ts';

const question = fc.record({
  pause: fc.double({ min: 0, max: 300, noNaN: true }),
  there: fc.double({ min: 0, max: 200, noNaN: true }),
  back: fc.double({ min: 0, max: 200, noNaN: true }),
});
const questions = fc.array(question, { minLength: 1, maxLength: 100 });

/** Asks a clock that is `ahead` of ours, with these ways there and back; the moment of ours at which it ends. */
function ask(
  clock: ReturnType<typeof createRemoteClock>,
  ahead: number,
  ways: readonly { pause: number; there: number; back: number }[],
  from = 0,
): number {
  let now = from;
  for (const { pause, there, back } of ways) {
    now += pause;
    clock.note(now + there + ahead, now, now + there + back);
    now += there + back;
  }
  return now;
}

describe('a clock elsewhere', () => {
  test('shows a moment between the two that it is said to lie between, however slow its answers', () => {
    fc.assert(
      fc.property(questions, fc.double({ min: -1e6, max: 1e6, noNaN: true }), (ways, ahead) => {
        const clock = createRemoteClock();
        const now = ask(clock, ahead, ways);
        const { earliest, latest } = clock.locate(now + ahead);
        expect(earliest).toBeLessThanOrEqual(now + 1e-6);
        expect(latest).toBeGreaterThanOrEqual(now - 1e-6);
      }),
    );
  });

  test('is known as well as its quickest answer allows, slower ones spoil nothing', () => {
    const clock = createRemoteClock();
    const ways = (length: number, there: number, back: number) =>
      Array.from({ length }, () => ({ pause: 5, there, back }));
    const now = ask(clock, 5000, [...ways(1, 0.1, 0.2), ...ways(30, 80, 90)]);
    const { earliest, latest } = clock.locate(now + 5000);
    expect(latest - earliest).toBeLessThanOrEqual(0.3 + 1e-6);
  });

  test('that is set is believed at once', () => {
    fc.assert(
      fc.property(questions, fc.constantFrom(-3_600_000, -5000, 5000, 3_600_000), (ways, jump) => {
        const clock = createRemoteClock();
        const before = ask(clock, 0, ways);
        const now = ask(clock, jump, ways.slice(0, 1), before);
        const { earliest, latest } = clock.locate(now + jump);
        expect(earliest).toBeLessThanOrEqual(now + 1e-6);
        expect(latest).toBeGreaterThanOrEqual(now - 1e-6);
      }),
    );
  });
});
