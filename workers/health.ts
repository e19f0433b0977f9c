import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '../db/client.ts';
import { describeProblem, problemOf } from '../db/database-problem.ts';
import type { Logger } from '../src/log.ts';
import type { RedisConnections } from '../src/redis/redis-connections.ts';
import { isRedisError } from '../src/redis/redis-problem.ts';
import { createOutages, type Outages, parts } from './outages.ts';
import { findUnready, type Part, type Unready } from './readiness.ts';

/** Watches the parts, and remembers since when each has been unavailable. */
export interface Health {
  /** Tries all parts, and logs which have gone or come back. */
  check(): Promise<void>;
  /** The parts that are unavailable now, tried at each request; requests within a second share a result. */
  unready(): Promise<readonly Unready[]>;
  /** Takes the error of a statement or a Redis command. Returns whether it shows a problem of the server as a whole, which is logged once. */
  failed(error: unknown): boolean;
  /** A part that is unavailable, why and for how many seconds; undefined when all are available. */
  worst: Outages['worst'];
  /** Seconds for which each part has been unavailable; 0 when it is available. */
  unreadyFor: Outages['seconds'];
  /** Undefined without Redis, or while it is away. */
  redisEvicted(): number | undefined;
}

/** Causes that a small write may not meet: a disk without room takes what fits into a page that is there. */
const lingering: ReadonlySet<string> = new Set(['disk_full', 'full', 'read_only']);
/** What does not pass by itself, and may concern one statement only. */
const lasting: ReadonlySet<string> = new Set(['rights', 'not_migrated']);
const lingersMs = 30_000;
const keptMs = 1000;
const unconfirmedMs = 60_000;

/** Every part counts as available until it has been tried. Says once when a part goes, and once when it is back. */
export function createHealth(db: Database, redis: RedisConnections | undefined, log: Logger): Health {
  const outages = createOutages(log);
  const probe = shareFor(keptMs, () => findUnready(db, redis));
  let evicted: number | undefined;
  let silentBefore = false;
  let lingers: { readonly unready: Unready; readonly at: number } | undefined;
  let unconfirmedAt = Number.NEGATIVE_INFINITY;

  async function unready(): Promise<readonly Unready[]> {
    const found = await probe();
    if (found.some(({ part }) => part === 'postgres') || lingers === undefined) return found;
    return performance.now() - lingers.at < lingersMs ? [...found, lingers.unready] : found;
  }

  /** A statement may be slow, lack a right or lose its connection while all others work: so the server is tried. */
  async function confirm(part: Part, error: unknown, lasts: boolean): Promise<void> {
    // The first result may be older than the error.
    for (let attempt = 0; attempt < 2 && !outages.has(part); attempt += 1) {
      const found = (await unready()).filter((each) => each.part === part);
      found.forEach(outages.begin);
      if (found.length > 0) return;
      await sleep(keptMs, undefined, { ref: false });
    }
    if (lasts && !outages.has(part)) unconfirmed(error);
  }

  /** Only one request is refused; said once a minute, with its stack. */
  function unconfirmed(error: unknown): void {
    if (performance.now() - unconfirmedAt < unconfirmedMs) return;
    unconfirmedAt = performance.now();
    log.warn({ err: error }, 'a request to Postgres or Redis failed; it is tried again');
  }

  return {
    unready,
    async check() {
      const found = await unready();
      for (const part of parts) if (!found.some((each) => each.part === part)) outages.end(part);
      // One probe that takes too long may be this process', which has just begun with fifty apps: two in a row are not.
      const isSilent = (each: Unready) => each.cause === 'silent';
      for (const each of found) if (!isSilent(each) || silentBefore) outages.begin(each);
      silentBefore = found.some(isSilent);
      evicted = await redis?.readEvicted().catch(() => undefined);
    },
    failed(error) {
      if (isRedisError(error)) {
        void confirm('redis', error, error.name === 'ReplyError');
        return true;
      }
      const problem = problemOf(error);
      if (problem === undefined) return false;
      const found = { part: 'postgres', cause: problem.cause, sentence: describeProblem(problem) } as const;
      if (lingering.has(problem.cause)) {
        lingers = { unready: found, at: performance.now() };
        outages.begin(found);
      } else void confirm('postgres', error, lasting.has(problem.cause));
      return true;
    },
    worst: outages.worst,
    unreadyFor: outages.seconds,
    redisEvicted: () => evicted,
  };
}

/** Calls within `ms` share a result, however many there are. */
function shareFor<T>(ms: number, read: () => Promise<T>): () => Promise<T> {
  let shared: Promise<T> | undefined;
  return () => {
    if (shared === undefined) {
      shared = read();
      const forget = () => {
        shared = undefined;
      };
      void shared.catch(() => undefined).finally(() => setTimeout(forget, ms).unref());
    }
    return shared;
  };
}
