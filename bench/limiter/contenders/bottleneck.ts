import Bottleneck from 'bottleneck';
import { Redis } from 'ioredis';
import { askingCallers, type Contender, type ContenderOrder } from '../contender.ts';

/** bottleneck: calls so far apart, shared through Redis. */
export async function openBottleneck(order: ContenderOrder): Promise<Contender> {
  const { redisUrl, appId, callsPerSecond, callers } = order;
  const limiter = new Bottleneck({
    id: `bottleneck-${appId}`,
    datastore: 'ioredis',
    connection: new Bottleneck.IORedisConnection({ client: new Redis(redisUrl) }),
    minTime: 1000 / callsPerSecond,
  });
  await limiter.ready();
  return askingCallers(callers, () => limiter.schedule(async () => undefined));
}
