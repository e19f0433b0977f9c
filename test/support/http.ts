import type { Database } from '../../db/client.ts';
import { readBuild } from '../../src/build.ts';
import { createCache } from '../../src/cache.ts';
import { type HttpServer, type HttpServerOptions, startHttpServer } from '../../src/http/server.ts';
import { silentLogger } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics/create-metrics.ts';
import { exposeDatabase } from '../../src/metrics/database-gauges.ts';
import { createScrubber } from '../../src/scrubber.ts';
import { readStats } from '../../src/status/read-stats.ts';
import { readStatus } from '../../src/status/read-status.ts';

export interface TestServer extends AsyncDisposable {
  readonly server: HttpServer;
  /** Asks for a path of this server. */
  ask(path: string, init?: RequestInit): Promise<Response>;
}

/** The daemon's HTTP over a database, without a daemon. */
export async function startTestServer(
  db: Database,
  options: Partial<HttpServerOptions> = {},
): Promise<TestServer> {
  const { registry } = createMetrics();
  const figures = createCache({ keepMs: 0, read: () => readStats(db, Date.now) });
  exposeDatabase(registry, figures);
  const server = await startHttpServer({
    host: '127.0.0.1',
    port: 0,
    adminToken: undefined,
    allowedHosts: undefined,
    hooks: {
      webhookToken: undefined,
      allowUnsigned: false,
      now: Date.now,
      hasApp: () => true,
      take: () => undefined,
      onRefused: () => undefined,
    },
    log: silentLogger(),
    scrubber: createScrubber(),
    build: readBuild({ TIM_MIRROR_COMMIT: 'abc1234' }),
    db,
    figures,
    status: createCache({ keepMs: 0, read: () => readStatus(db) }),
    metrics: registry,
    stuck: () => [],
    unready: async () => [],
    addQueues: async () => undefined,
    ...options,
  });
  // A server that listens everywhere is asked over the loopback interface.
  const origin = server.url.replace('0.0.0.0', '127.0.0.1');
  return {
    server,
    ask: (path, init) => fetch(origin + path, { redirect: 'manual', ...init }),
    [Symbol.asyncDispose]: () => server.close(),
  };
}
