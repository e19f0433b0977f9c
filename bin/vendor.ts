import type { AppConfig } from '../src/config/app-config.ts';
import { createStop, type Stop } from '../src/lifecycle.ts';
import { createLocalSlots } from '../src/limiter/local-slots.ts';
import { createRedisSlots } from '../src/limiter/redis-slots.ts';
import { createTokenBucket } from '../src/limiter/token-bucket.ts';
import { connectRedis } from '../src/redis/redis-connections.ts';
import { createTencentClient, type TencentClient } from '../src/tencent/client.ts';
import { CommandError } from './command-error.ts';
import type { Environment } from './environment.ts';
import { onFirstSignal } from './signals.ts';

/** A way to call the vendor from a command, and a stop that Ctrl-C begins. */
export interface Vendor {
  readonly client: TencentClient;
  readonly stop: Stop;
}

/** What the vendor allows, less the three calls that either bucket may be over its rate in a sliding second. */
const allowedTogether = 194;

/**
 * Runs `use` with calls that take tokens like the daemon's: from the same bucket where there is Redis. Without
 * Redis the daemon's bucket is out of reach; then a command waits a second and takes no more than the daemon leaves.
 */
export async function withVendor<T>(
  { config, log, scrubber }: Environment,
  app: AppConfig,
  use: (vendor: Vendor) => Promise<T>,
): Promise<T> {
  if (app.secretKey === undefined) throw new CommandError('The app has no secret key.', 2);
  const redis = config.redis === undefined ? undefined : await connectRedis(config.redis, [app.appId], log);
  const callsPerSecond =
    redis === undefined
      ? Math.max(1, Math.min(app.callsPerSecond, allowedTogether - app.callsPerSecond))
      : app.callsPerSecond;
  const slots =
    redis === undefined
      ? createLocalSlots({ callsPerSecond })
      : createRedisSlots({ redis: redis.clients(app.appId).bucket, appId: app.appId, callsPerSecond });
  const bucket = createTokenBucket({ slots, callsPerSecond, log });
  const stop = createStop();
  const leave = onFirstSignal(() => {
    stop.abortHard();
  });
  const client = createTencentClient({
    app: { ...app, secretKey: app.secretKey },
    takeToken: (signal) => bucket.take(signal),
    now: Date.now,
    scrubber,
  });
  try {
    return await use({ client, stop });
  } finally {
    leave();
    await client.close();
    redis?.close();
  }
}
