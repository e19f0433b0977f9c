import { Redis } from 'ioredis';
import { startRedis } from '../../dev/local-servers/redis.ts';

/** An empty Redis of one's own; the one named by TEST_REDIS_URL is emptied first. */
export interface TestRedis extends AsyncDisposable {
  readonly url: string;
}

export async function createTestRedis(): Promise<TestRedis> {
  const given = process.env['TEST_REDIS_URL'];
  if (given !== undefined) {
    // Test files that run side by side keep out of each other's way.
    const url = new URL(given);
    url.pathname = `/${process.env['VITEST_POOL_ID'] ?? '0'}`;
    const redis = new Redis(url.href);
    await redis.flushdb();
    redis.disconnect();
    return { url: url.href, async [Symbol.asyncDispose]() {} };
  }
  const server = await startRedis({ say: (sentence) => process.stderr.write(`${sentence}\n`) });
  return { url: server.url, [Symbol.asyncDispose]: () => server.stop() };
}
