import { createRedisSlots } from '../../../src/limiter/redis-slots.ts';
import { createTokenBucket } from '../../../src/limiter/token-bucket.ts';
import { silentLogger } from '../../../src/log.ts';
import { connectRedis } from '../../../src/redis/redis-connections.ts';
import { askingCallers, type Contender, type ContenderOrder } from '../contender.ts';

/** The daemon's own bucket, over the daemon's own connection. */
export async function openOurs({
  redisUrl,
  appId,
  callsPerSecond,
  callers,
}: ContenderOrder): Promise<Contender> {
  const log = silentLogger();
  const connections = await connectRedis({ kind: 'single', url: redisUrl }, [appId], log);
  const slots = createRedisSlots({ redis: connections.clients(appId).bucket, appId, callsPerSecond });
  const bucket = createTokenBucket({ slots, callsPerSecond, log });
  return askingCallers(callers, (signal) => bucket.take(signal));
}
