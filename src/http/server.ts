import fastify, { type FastifyInstance } from 'fastify';
import type { Registry } from 'prom-client';
import { createCache } from '../cache.ts';
import type { Logger } from '../log.ts';
import type { Scrubber } from '../scrubber.ts';
import { accessFor } from './access.ts';
import { addLoginAssets, addPage } from './assets.ts';
import { limitConnections } from './connections.ts';
import { createEndedSessions } from './ended-sessions.ts';
import { guard } from './gate.ts';
import { addHooks, createSignatureCheck, type HooksOptions, hooksPath, takesHooks } from './hooks.ts';
import { addLogin } from './login.ts';
import { ownPolicy, queuesPolicy, securityHeaders } from './security-headers.ts';
import { addStatsRoutes, type StatsRoutesOptions } from './stats-routes.ts';
import { createWorkLimit, type WorkLimitOptions } from './work-limit.ts';
import { createWrongTokens } from './wrong-tokens.ts';

export interface HttpServerOptions {
  readonly listen: { readonly host: string; readonly port: number };
  readonly access: AccessOptions;
  readonly hooks: HooksOptions;
  readonly output: { readonly log: Logger; readonly scrubber: Scrubber };
  readonly health: HealthReports;
  readonly metrics: Pick<Registry, 'metrics' | 'contentType'>;
  /** What the page shows. */
  readonly stats: Omit<StatsRoutesOptions, 'log'>;
  /** Adds the queues’ own pages under a path. */
  readonly addQueues: (server: FastifyInstance, path: string) => Promise<void>;
}

interface AccessOptions {
  readonly adminToken: string | undefined;
  /** Hosts that may be asked for with the token; undefined allows all. */
  readonly allowedHosts: readonly string[] | undefined;
  /** What a test sets. */
  readonly workLimit?: WorkLimitOptions | undefined;
}

interface HealthReports {
  /** What does not make progress; empty when all is well. */
  readonly stuck: () => readonly string[];
  /** What can't be reached or does not fit; empty when all is well. */
  readonly unready: () => Promise<readonly { readonly part: string; readonly sentence: string }[]>;
}

export interface HttpServer {
  readonly url: string;
  close(): Promise<void>;
}

const queuesPath = '/queues';
/** No request needs more than a token; a slow or endless one is cut off. */
const limits = {
  bodyLimit: 4096,
  requestTimeout: 10_000,
  keepAliveTimeout: 10_000,
  // Neither end has sent anything: who reads an answer slowly is cut off too. Longer than any answer takes.
  connectionTimeout: 20_000,
  maxRequestsPerSocket: 1000,
  routerOptions: { maxParamLength: 200 },
  // Node looks after its limits every 30 s otherwise.
  http: { connectionsCheckingInterval: 1000, headersTimeout: 10_000 },
};
/** However many scrape, the metrics are rendered at most once per this many milliseconds. */
const metricsMs = 1000;

/**
 * The daemon's HTTP: `/livez` and `/readyz` for what keeps it running, neither of which depends on the vendor,
 * `/metrics`, the vendor's callbacks, and behind the admin token `/status`, a page for people at `/`, and the queues.
 */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { host, port } = options.listen;
  const { log, scrubber } = options.output;
  const server = fastify({ logger: false, forceCloseConnections: true, ...limits });
  const connections = limitConnections(server.server);
  server.addHook('preClose', async () => connections.close());
  server.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    (_request, body, done) => done(null, Object.fromEntries(new URLSearchParams(String(body)))),
  );
  server.setErrorHandler<Error & { statusCode?: number }>((error, _request, reply) => {
    const code = error.statusCode ?? 500;
    if (code >= 500) log.warn({ err: error }, 'a request could not be answered');
    return reply.code(code).send({ error: code >= 500 ? 'internal error' : 'bad request' });
  });
  server.setNotFoundHandler((_request, reply) => reply.code(404).send({ error: 'not found' }));
  server.addHook('onSend', async (request, reply, payload: unknown) => {
    const policy = isBelow(request.url, queuesPath) ? queuesPolicy : ownPolicy;
    reply.headers({ ...securityHeaders, 'content-security-policy': policy });
    return typeof payload === 'string' ? scrubbed(payload, reply.getHeader('content-type')) : payload;
  });

  /** Metrics hold names and numbers of our own, and what is not text holds none of ours. */
  function scrubbed(payload: string, type: unknown): string {
    if (String(type).startsWith('application/json')) return scrubber.scrubJson(payload);
    return String(type).startsWith('text/html') ? scrubber.scrub(payload) : payload;
  }

  const access = accessFor(host, options.access.adminToken);
  const wrongTokens = createWrongTokens();
  const endedSessions = createEndedSessions(options.stats.db, log);
  const { hooks } = options;
  const hooked = takesHooks(host, hooks);
  const isSigned = createSignatureCheck(hooks);
  guard(server, {
    access,
    allowedHosts: options.access.allowedHosts,
    wrongTokens,
    endedSessions,
    work: createWorkLimit(options.access.workLimit),
    isBusy: () => connections.counts().waiting > 0,
    hooks: hooked ? { path: hooksPath, ...(isSigned === undefined ? {} : { isSigned }) } : undefined,
  });
  if (hooked) await addHooks(server, hooks);
  addProbes(server, options.health);
  addMetrics(server, options);
  if (access.kind === 'token') {
    addLoginAssets(server);
    addLogin(server, access.token, wrongTokens, endedSessions);
  }
  if (access.kind !== 'hidden') {
    addPage(server, access.kind === 'token');
    addStatsRoutes(server, { ...options.stats, log });
    await options.addQueues(server, queuesPath);
  }

  const url = await server.listen({ host, port });
  log.info({ url, access: access.kind }, 'http server listens');
  return { url, close: () => server.close() };
}

function addMetrics(server: FastifyInstance, { metrics }: HttpServerOptions): void {
  const page = createCache({
    keepMs: metricsMs,
    timesItsCost: 0,
    // Names and numbers of our own: nothing to scrub.
    read: async () => Buffer.from(await metrics.metrics()),
  });
  server.get('/metrics', async (_request, reply) => reply.type(metrics.contentType).send(await page.get()));
}

function addProbes(server: FastifyInstance, { stuck, unready }: HealthReports): void {
  server.get('/livez', async (_request, reply) => {
    const found = stuck();
    return reply.code(found.length === 0 ? 200 : 503).send({ ok: found.length === 0, stuck: found });
  });
  server.get('/readyz', async (_request, reply) => {
    const found = await unready();
    if (found.length === 0) return reply.send({ ok: true, unready: [] });
    const reasons = Object.fromEntries(found.map(({ part, sentence }) => [part, sentence]));
    return reply.code(503).send({ ok: false, unready: found.map(({ part }) => part), reasons });
  });
}

function isBelow(url: string, path: string): boolean {
  return url === path || url.startsWith(`${path}/`) || url.startsWith(`${path}?`);
}
