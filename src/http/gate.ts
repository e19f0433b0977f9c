import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Access, bearerToken, isLoopback, isSame } from './access.ts';
import { isSession, sessionOf } from './session.ts';
import type { WrongTokens } from './wrong-tokens.ts';

/** Answers without asking who wants to know. */
const alwaysOpen: ReadonlySet<string> = new Set(['/livez', '/readyz', '/metrics']);
/** What somebody who is to show a token must be able to see. */
const openToStrangers: ReadonlySet<string> = new Set(['/login', '/login.css']);

export interface GateOptions {
  readonly access: Access;
  readonly wrongTokens: WrongTokens;
  /** Where the vendor's callbacks come in, and whether they show a signature of their own. */
  readonly hooks: { readonly path: string; readonly signed: boolean } | undefined;
}

/** Lets nobody through to anything but the probes and the metrics who may not see it. */
export function guard(server: FastifyInstance, { access, wrongTokens, hooks }: GateOptions): void {
  server.addHook('onRequest', async (request, reply) => {
    const pathname = pathOf(request.url);
    if (alwaysOpen.has(pathname)) return;
    if (pathname === hooks?.path) {
      if (hooks.signed || !comesFromElsewhere(request, { kind: 'open' })) return;
      return reply.code(403).send({ error: 'without WEBHOOK_TOKEN callbacks come from this machine only' });
    }
    if (access.kind === 'hidden') return reply.code(404).send({ error: 'not found' });
    if (comesFromElsewhere(request, access)) return reply.code(403).send({ error: 'asked by another site' });
    if (access.kind === 'open' || openToStrangers.has(pathname)) return;
    return demand(request, reply, access.token, wrongTokens);
  });
}

/** What stands before the query. A path written otherwise than the open ones are is not open. */
function pathOf(url: string): string {
  const end = url.indexOf('?');
  return end < 0 ? url : url.slice(0, end);
}

async function demand(
  request: FastifyRequest,
  reply: FastifyReply,
  token: string,
  wrongTokens: WrongTokens,
): Promise<FastifyReply | undefined> {
  if (isSession(sessionOf(request.headers.cookie), token, Date.now())) return;
  const given = bearerToken(request.headers.authorization);
  if (given !== undefined) {
    // Before anything is counted: behind a proxy everybody has one address, and a right token must not pay for others.
    if (isSame(given, token)) return;
    if (await wrongTokens.slowDown(request.ip))
      return reply.code(429).send({ error: 'too many wrong tokens' });
  }
  const wantsPage = request.method === 'GET' && (request.headers.accept ?? '').includes('text/html');
  if (wantsPage) return reply.redirect(`/login?next=${encodeURIComponent(request.url)}`, 303);
  return reply
    .code(401)
    .header('www-authenticate', 'Bearer realm="tim-mirror"')
    .send({ error: 'show ADMIN_TOKEN as Authorization: Bearer …' });
}

/**
 * A page of another site that makes a browser of ours ask: by a form or a script, or by a name of its own that it
 * lets point at this machine, which counts where no token is asked for.
 */
function comesFromElsewhere(request: FastifyRequest, access: Access): boolean {
  if (access.kind === 'open' && !isLoopback(request.hostname.replace(/^\[|\]$/g, ''))) return true;
  if (request.method === 'GET' || request.method === 'HEAD') return false;
  const site = request.headers['sec-fetch-site'];
  return site !== undefined && site !== 'same-origin' && site !== 'none';
}
