import { expect, test } from 'vitest';
import { goalsOf, summarise } from '../../bench/limiter/command.ts';
import type { LimiterFigures } from '../../bench/limiter/harness.ts';
import type { LimiterResult } from '../../bench/limiter/run-limiter.ts';

const figures = (over: Partial<LimiterFigures> = {}): LimiterFigures => ({
  perSecond: 190,
  slidingMaxSent: 193,
  slidingMaxArrived: 197,
  redisCallsPerSecond: 38,
  longestGapMs: 30,
  ...over,
});

const result = (over: Partial<LimiterResult> = {}): LimiterResult => ({
  ours: figures(),
  peers: { bullmq: figures({ slidingMaxArrived: 376 }) },
  scenarios: { keyDeleted: figures(), redisRestarted: figures(), processKilled: figures() },
  ...over,
});

const missed = (given: LimiterResult) =>
  summarise(given, goalsOf(given)).goals.flatMap(({ name, met }) => (met ? [] : [name]));

test('the JSON of bench limiter has the figures that have goals, and those of the others', () => {
  expect(summarise(result(), goalsOf(result()))).toMatchObject({
    bench: 'limiter',
    configured: 190,
    perSecond: 190,
    slidingMaxSent: 193,
    slidingMaxArrived: 197,
    redisCallsPerSecond: 38,
    peers: { bullmq: { slidingMaxArrived: 376 } },
  });
  expect(missed(result())).toEqual([]);
});

test('a goal is missed by a slot too few, a call too many, or anything that was not measured', () => {
  expect(missed(result({ ours: figures({ perSecond: 188 }) }))).toEqual(['share of the configured rate']);
  expect(missed(result({ ours: figures({ slidingMaxArrived: 201 }) }))).toEqual([
    'most in a second, on arrival',
  ]);
  expect(missed(result({ scenarios: {} }))).toEqual(['the same when things go wrong']);
});
