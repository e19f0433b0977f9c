import type { FastifyInstance, FastifyReply } from 'fastify';
import { z } from 'zod';
import type { Database } from '../../db/client.ts';
import { describeProblem, problemOf } from '../../db/database-problem.ts';
import { readCallSeries } from '../../db/queries/activity.ts';
import { readNewestChanges } from '../../db/queries/changes.ts';
import type { Build } from '../build.ts';
import { type Cache, createCache } from '../cache.ts';
import { withTimeout } from '../lifecycle.ts';
import type { Logger } from '../log.ts';
import { explainAccount } from '../status/explain-account.ts';
import { freshnessSeconds } from '../status/freshness-seconds.ts';
import type { AppStats } from '../status/read-stats.ts';
import type { Status } from '../status/status.ts';

export interface StatsRoutesOptions {
  readonly build: Build;
  readonly db: Database;
  readonly figures: Cache<readonly AppStats[]>;
  readonly status: Cache<Status>;
  readonly log: Logger;
}

/** However many pages are open, and however often they are drawn again, each is read once in this time. */
const keepMs = 1000;
const timeoutMs = 10_000;
const plottedSeconds = 900;
const changesShown = 12;

const accountQuery = z.object({
  app: z.coerce.number().int().positive(),
  account: z.string().min(1).max(200),
});

/** What the page shows, as JSON: `/status` is what `status --json` prints, `/explain` what `explain --json` does. */
export function addStatsRoutes(server: FastifyInstance, options: StatsRoutesOptions): void {
  const { build, db, figures, status, log } = options;
  const calls = createCache({
    keepMs,
    read: async () => ({ seconds: 10, apps: await readCallSeries(db, plottedSeconds) }),
  });
  const changes = createCache({ keepMs, read: () => readChanges(db, figures) });

  /** Answers with what `read` gives, or says that Postgres does not. */
  async function answer(reply: FastifyReply, read: () => Promise<object>): Promise<FastifyReply> {
    try {
      return reply.send(await withTimeout(timeoutMs, read()));
    } catch (error) {
      log.debug({ err: error }, 'a question could not be answered');
      const problem = problemOf(error);
      const reason = problem === undefined ? 'Postgres does not answer in time.' : describeProblem(problem);
      return reply.code(503).send({ error: reason });
    }
  }

  server.get('/status', (_request, reply) => answer(reply, async () => ({ build, ...(await status.get()) })));
  server.get('/calls', (_request, reply) => answer(reply, () => calls.get()));
  server.get('/changes', (_request, reply) => answer(reply, () => changes.get()));
  server.get('/freshness', (_request, reply) =>
    answer(reply, async () => ({
      bounds: freshnessSeconds,
      apps: (await figures.get()).map(({ appId, freshness }) => ({ appId, accounts: freshness })),
    })),
  );
  server.get('/explain', async (request, reply) => {
    const asked = accountQuery.safeParse(request.query);
    if (!asked.success)
      return reply.code(400).send({ error: 'name an app and an account: ?app=…&account=…' });
    const { app, account } = asked.data;
    return answer(reply, async () => {
      const explanation = await explainAccount(db, app, account);
      if (explanation !== undefined) return explanation;
      reply.code(404);
      return { error: 'this account is not enrolled' };
    });
  });
}

async function readChanges(db: Database, figures: Cache<readonly AppStats[]>) {
  const apps = await figures.get();
  return {
    apps: await Promise.all(
      apps.map(async ({ appId }) => ({ appId, changes: await readNewestChanges(db, appId, changesShown) })),
    ),
  };
}
