import type { Database } from '../db/client.ts';
import { describeProblem, problemOf } from '../db/database-problem.ts';
import { assertSchema, SchemaError } from '../db/migrate.ts';
import { raiseBeat } from '../db/queries/installation.ts';
import { findMissingRights, mayKeepQueues } from '../db/queries/readiness.ts';
import { withTimeout } from '../src/lifecycle.ts';
import type { Logger } from '../src/log.ts';
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

const parts: readonly Part[] = ['postgres', 'redis', 'schema'];
/** A server that hangs is as good as away. */
const timeoutMs = 3000;

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
  const tables = await findMissingRights(db);
  if (tables.length === 0 && hasQueues && !(await mayKeepQueues(db))) {
    const sentence =
      'Postgres does not let the user of DATABASE_URL keep queues in schema bullmq; let its owner grant usage and create on the schema, and all on its tables and sequences.';
    return { part: 'postgres', cause: 'rights', sentence };
  }
  if (tables.length === 0) return undefined;
  const sentence = `Postgres does not let the user of DATABASE_URL read and write ${tables.map((name) => `mirror.${name}`).join(', ')}; let the owner of the tables grant it.`;
  return { part: 'postgres', cause: 'rights', sentence };
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

/** Watches the parts, and remembers since when each has not been well. */
export interface Health {
  look(): Promise<void>;
  /** What is not well now, tried at each request; requests within a second share a result. */
  unready(): Promise<readonly Unready[]>;
  /** Takes the error of a statement. Returns whether it is Postgres' problem as a whole, which is logged once. */
  failed(error: unknown): boolean;
  /** Why a part is unavailable, and for how many seconds; undefined when it is available. */
  problemOf(part: Part): { readonly cause: string; readonly seconds: number } | undefined;
  /** Seconds for which each part has not been well; 0 when it is. */
  unreadyFor(): ReadonlyMap<Part, number>;
  /** Undefined without Redis, or while it is away. */
  redisEvicted(): number | undefined;
}

function isAlike(one: string, other: string): boolean {
  return one === other || (unreachable.has(one) && unreachable.has(other));
}

/** Causes that a small write may not meet: a disk without room takes what fits into a page that is there. */
const lingering: ReadonlySet<string> = new Set(['disk_full', 'full', 'read_only']);
const lingersMs = 30_000;
const keptMs = 1000;

/** One outage looks like each of these in turn, and is one line in the log. */
const unreachable: ReadonlySet<string> = new Set([
  'away',
  'busy',
  'no_connection',
  'silent',
  'slow',
  'starting',
]);

/** Everything counts as well until it has been looked at. Says once when a part goes, and once when it is back. */
export function createHealth(db: Database, redis: RedisConnections | undefined, log: Logger): Health {
  const since = new Map<Part, { readonly at: number; readonly cause: string }>();
  let evicted: number | undefined;
  let silentBefore = false;
  let seen: { readonly unready: Unready; readonly at: number } | undefined;
  let asking: Promise<readonly Unready[]> | undefined;

  function note({ part, cause, sentence }: Unready): void {
    const before = since.get(part);
    since.set(part, { at: before?.at ?? performance.now(), cause });
    if (before === undefined || !isAlike(before.cause, cause)) log.warn({ part, cause }, sentence);
  }

  function clear(part: Part): void {
    const before = since.get(part);
    if (before === undefined) return;
    since.delete(part);
    log.info({ part, seconds: Math.round((performance.now() - before.at) / 1000) }, `${part} has recovered`);
  }

  async function unready(): Promise<readonly Unready[]> {
    const found = await ask();
    const lingers = seen !== undefined && performance.now() - seen.at < lingersMs ? [seen.unready] : [];
    return found.some(({ part }) => part === 'postgres') ? found : [...found, ...lingers];
  }

  function ask(): Promise<readonly Unready[]> {
    if (asking === undefined) {
      const answer = findUnready(db, redis);
      asking = answer;
      const forget = () => {
        asking = undefined;
      };
      // However many ask, the servers are tried once a second.
      void answer.catch(() => undefined).finally(() => setTimeout(forget, keptMs).unref());
    }
    return asking;
  }

  return {
    unready,
    async look() {
      const found = await unready();
      for (const part of parts) if (!found.some((each) => each.part === part)) clear(part);
      // One look that takes too long may be this process', which has just begun with fifty apps: two in a row are not.
      const isSilent = (each: Unready) => each.cause === 'silent';
      for (const each of found) if (!isSilent(each) || silentBefore) note(each);
      silentBefore = found.some(isSilent);
      evicted = await redis?.readEvicted().catch(() => undefined);
    },
    failed(error) {
      const problem = problemOf(error);
      if (problem === undefined || problem.cause === 'rights' || problem.cause === 'not_migrated')
        return false;
      const found = { part: 'postgres', cause: problem.cause, sentence: describeProblem(problem) } as const;
      if (lingering.has(problem.cause)) {
        seen = { unready: found, at: performance.now() };
        note(found);
      } else if (!since.has('postgres')) {
        // A statement may be slow, or its connection end, while all others are well: so the server is asked.
        void unready().then((all) => all.filter(({ part }) => part === 'postgres').forEach(note));
      }
      return true;
    },
    problemOf(part) {
      const found = since.get(part);
      return found && { cause: found.cause, seconds: (performance.now() - found.at) / 1000 };
    },
    unreadyFor: () =>
      new Map(
        parts.map((part) => {
          const start = since.get(part)?.at;
          return [part, start === undefined ? 0 : (performance.now() - start) / 1000];
        }),
      ),
    redisEvicted: () => evicted,
  };
}
