import type { Database } from '../db/client.ts';
import { assertSchema, SchemaError } from '../db/migrate.ts';
import { inTime } from '../src/lifecycle.ts';
import type { RedisConnections } from './redis.ts';

/** A part of the daemon's surroundings that it can't do without. */
export type Part = 'postgres' | 'redis' | 'schema';

const parts: readonly Part[] = ['postgres', 'redis', 'schema'];
/** A server that hangs is as good as away. */
const patienceMs = 3000;

/** The parts that are not well at this moment. */
export async function findUnready(
  db: Database,
  redis: RedisConnections | undefined,
): Promise<readonly Part[]> {
  const [database, queue] = await Promise.all([
    inTime(patienceMs, assertSchema(db)).then(
      () => undefined,
      (error: unknown) => (error instanceof SchemaError ? 'schema' : 'postgres'),
    ),
    redis === undefined
      ? undefined
      : inTime(patienceMs, redis.ping()).then(
          () => undefined,
          () => 'redis' as const,
        ),
  ]);
  return [database, queue].filter((part) => part !== undefined);
}

/** Watches the parts, and remembers since when each has not been well. */
export interface Health {
  look(): Promise<void>;
  /** Seconds for which each part has not been well; 0 when it is. */
  unreadyFor(): ReadonlyMap<Part, number>;
  /** Undefined without Redis, or while it is away. */
  redisEvicted(): number | undefined;
}

/** Everything counts as well until it has been looked at. */
export function createHealth(db: Database, redis: RedisConnections | undefined): Health {
  const since = new Map<Part, number>();
  let evicted: number | undefined;
  return {
    async look() {
      const unready = await findUnready(db, redis);
      for (const part of parts) {
        if (!unready.includes(part)) since.delete(part);
        else if (!since.has(part)) since.set(part, performance.now());
      }
      evicted = await redis?.readEvicted().catch(() => undefined);
    },
    unreadyFor: () =>
      new Map(
        parts.map((part) => {
          const start = since.get(part);
          return [part, start === undefined ? 0 : (performance.now() - start) / 1000];
        }),
      ),
    redisEvicted: () => evicted,
  };
}
