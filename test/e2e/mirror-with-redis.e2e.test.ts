import { afterAll, beforeAll } from 'vitest';
import { createTestRedis, type TestRedis } from '../support/redis.ts';
import { testMirroring } from './mirror.suite.ts';

let redis: TestRedis;

beforeAll(async () => {
  redis = await createTestRedis();
});

afterAll(async () => {
  await redis?.[Symbol.asyncDispose]();
});

testMirroring(() => redis.url);
