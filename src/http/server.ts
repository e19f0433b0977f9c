import fastify from 'fastify';
import type { Logger } from '../log.ts';

export interface HttpServerOptions {
  readonly host: string;
  readonly port: number;
  readonly log: Logger;
  /** What does not make progress; empty when all is well. */
  readonly stuck: () => readonly string[];
  /** What can't be reached or does not fit; empty when all is well. */
  readonly unready: () => Promise<readonly string[]>;
}

export interface HttpServer {
  readonly url: string;
  close(): Promise<void>;
}

/** `/livez` and `/readyz` for whoever keeps the daemon running. Neither hangs on the vendor. */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const server = fastify({ logger: false, forceCloseConnections: true });

  server.get('/livez', async (_request, reply) => {
    const stuck = options.stuck();
    return reply.code(stuck.length === 0 ? 200 : 503).send({ ok: stuck.length === 0, stuck });
  });

  server.get('/readyz', async (_request, reply) => {
    const unready = await options.unready();
    return reply.code(unready.length === 0 ? 200 : 503).send({ ok: unready.length === 0, unready });
  });

  const url = await server.listen({ host: options.host, port: options.port });
  options.log.info({ url }, 'http server listens');
  return { url, close: () => server.close() };
}
