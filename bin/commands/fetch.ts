import { createStop } from '../../src/lifecycle.ts';
import { createLocalSlots } from '../../src/limiter/local-slots.ts';
import { createRedisSlots } from '../../src/limiter/redis-slots.ts';
import { createTokenBucket } from '../../src/limiter/token-bucket.ts';
import { createTencentClient } from '../../src/tencent/client.ts';
import { groupGetRequest, parseVerdict } from '../../src/tencent/wire.ts';
import { connectRedis } from '../../workers/redis.ts';
import { CommandError } from '../command-error.ts';
import { chooseApp, readEnvironment } from '../environment.ts';

export interface FetchCommand {
  readonly app?: number;
  readonly since?: number;
  readonly group?: readonly string[];
  readonly members: boolean;
}

/** `fetch <account>`: one call, its answer as it came, on standard output. Exit code 1 when the vendor reports an error. */
export async function fetchCommand(accountId: string, options: FetchCommand): Promise<void> {
  const { config, log, scrubber } = readEnvironment(['app', 'credentials']);
  const app = chooseApp(config, options.app);
  if (app.secretKey === undefined) throw new CommandError('The app has no secret key.', 2);
  const { callsPerSecond } = app;
  const redis = config.redisUrl === undefined ? undefined : await connectRedis(config.redisUrl, log);
  const slots =
    redis === undefined
      ? createLocalSlots({ callsPerSecond })
      : createRedisSlots({ redis: redis.buckets, appId: app.appId, callsPerSecond });
  const bucket = createTokenBucket({ slots, callsPerSecond, log });
  const client = createTencentClient({
    app: { ...app, secretKey: app.secretKey },
    takeToken: (signal) => bucket.take(signal),
    now: Date.now,
    scrubber,
  });
  try {
    const body = groupGetRequest({
      accountId,
      lastSequence: options.since ?? 0,
      withMembers: options.members,
      ...(options.group === undefined ? {} : { groupNames: options.group }),
    });
    const answer = await client.callGroupGet(body, createStop());
    process.stdout.write(`${scrubber.scrub(JSON.stringify(answer.body, null, 2))}\n`);
    const verdict = parseVerdict(answer.body);
    if (verdict !== undefined) throw new CommandError(`The vendor reports error ${verdict.code}.`);
  } finally {
    await client.close();
    redis?.close();
  }
}
