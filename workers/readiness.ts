import type { Database } from '../db/client.ts';
import { describeProblem, problemOf } from '../db/database-problem.ts';
import { assertSchema, SchemaError } from '../db/migrate.ts';
import { raiseBeat } from '../db/queries/installation.ts';
import { findObstacles } from '../db/queries/readiness.ts';
import { withTimeout } from '../src/lifecycle.ts';
import type { RedisConnections } from '../src/redis/redis-connections.ts';
import { describeRedisProblem, redisProblemOf } from '../src/redis/redis-problem.ts';

/** A part of the daemon's surroundings that it can't do without. */
export type Part = 'postgres' | 'redis' | 'schema';

/** A part that is not well, and why. The sentence holds no secret. */
export interface Unready {
  readonly part: Part;
  readonly cause: string;
  readonly sentence: string;
}

/** A server that hangs is as good as away. */
const timeoutMs = 3000;
const mostListed = 5;

/** The parts that are not well at this moment: what polls need of each is tried. */
export async function findUnready(
  db: Database,
  redis: RedisConnections | undefined,
): Promise<readonly Unready[]> {
  const found = await Promise.all([
    withTimeout(timeoutMs, tryDatabase(db, redis === undefined)).catch(unreadyDatabase),
    redis === undefined ? undefined : withTimeout(timeoutMs, tryRedis(redis)).catch(unreadyRedis),
  ]);
  return found.filter((unready) => unready !== undefined);
}

/** Reads and writes as a poll does: a standby, a server without room and a user without rights refuse it. */
async function tryDatabase(db: Database, hasQueues: boolean): Promise<Unready | undefined> {
  await assertSchema(db);
  await raiseBeat(db);
  const { missing, forbidden } = await findObstacles(db, hasQueues);
  if (missing.length > 0)
    return {
      part: 'postgres',
      cause: 'not_migrated',
      sentence: `Postgres lacks ${listed(missing)}; run tim-mirror migrate, or restore what was dropped.`,
    };
  if (forbidden.length > 0)
    return {
      part: 'postgres',
      cause: 'rights',
      sentence: `Postgres does not let the user of DATABASE_URL read and write ${listed(forbidden)}; let the owner run: tim-mirror migrate --daemon-role <the user>.`,
    };
  return undefined;
}

/** The first few names, and how many more there are. */
function listed(names: readonly string[]): string {
  const more = names.length - mostListed;
  return `${names.slice(0, mostListed).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

async function tryRedis(redis: RedisConnections): Promise<undefined> {
  await redis.tryWrite();
}

function unreadyDatabase(error: unknown): Unready {
  if (error instanceof SchemaError) return { part: 'schema', cause: 'schema', sentence: error.message };
  const problem = problemOf(error);
  if (problem === undefined)
    return {
      part: 'postgres',
      cause: 'silent',
      sentence: `Postgres does not answer within ${timeoutMs / 1000} s; look at the network, at locks, and at what loads the server.`,
    };
  return { part: 'postgres', cause: problem.cause, sentence: describeProblem(problem) };
}

function unreadyRedis(error: unknown): Unready {
  const problem = redisProblemOf(error);
  return { part: 'redis', cause: problem.cause, sentence: describeRedisProblem(problem) };
}
