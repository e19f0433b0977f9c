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

/** What a test replaces of a server's options. */
export type TestServerOptions = { readonly host?: string } & Partial<
  HttpServerOptions['access'] &
    HttpServerOptions['output'] &
    HttpServerOptions['health'] &
    Pick<HttpServerOptions, 'hooks' | 'metrics' | 'addQueues'>
>;

/** The daemon's HTTP over a database, without a daemon. */
export async function startTestServer(
  db: Database,
  {
    host = '127.0.0.1',
    adminToken,
    allowedHosts,
    workLimit,
    hooks,
    log,
    scrubber,
    ...over
  }: TestServerOptions = {},
): Promise<TestServer> {
  const { registry } = createMetrics();
  const figures = createCache({ keepMs: 0, read: () => readStats(db, Date.now) });
  exposeDatabase(registry, figures);
  const server = await startHttpServer({
    listen: { host, port: 0 },
    access: { adminToken, allowedHosts, workLimit },
    hooks: hooks ?? {
      webhookToken: undefined,
      allowUnsigned: false,
      now: Date.now,
      hasApp: () => true,
      take: () => undefined,
      onRefused: () => undefined,
    },
    output: { log: log ?? silentLogger(), scrubber: scrubber ?? createScrubber() },
    stats: {
      build: readBuild({ TIM_MIRROR_COMMIT: 'abc1234' }),
      db,
      figures,
      status: createCache({ keepMs: 0, read: () => readStatus(db) }),
    },
    metrics: over.metrics ?? registry,
    health: { stuck: over.stuck ?? (() => []), unready: over.unready ?? (async () => []) },
    addQueues: over.addQueues ?? (async () => undefined),
  });
  // A server that listens everywhere is asked over the loopback interface.
  const origin = server.url.replace('0.0.0.0', '127.0.0.1');
  return {
    server,
    ask: (path, init) => fetch(origin + path, { redirect: 'manual', ...init }),
    [Symbol.asyncDispose]: () => server.close(),
  };
}
