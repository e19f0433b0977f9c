import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Access, bearerToken, isLoopback, isSame } from './access.ts';
import { isSession, sessionOf } from './session.ts';
import type { WorkLimit } from './work-limit.ts';
import type { WrongTokens } from './wrong-tokens.ts';

/** Answers without asking who wants to know. */
const alwaysOpen: ReadonlySet<string> = new Set(['/livez', '/readyz', '/metrics']);
/** What somebody who is to show a token must be able to see. */
const openToStrangers: ReadonlySet<string> = new Set(['/login', '/login.css']);

export interface GateOptions {
  readonly access: Access;
  readonly wrongTokens: WrongTokens;
  /** What is done for those who show no token waits for its turn. */
  readonly work: WorkLimit;
  /** Whether other connections wait to be served. */
  readonly isCrowded: () => boolean;
  /** Where the vendor's callbacks come in, and whether one is signed as it must be; undefined where none must be. */
  readonly hooks: { readonly path: string; readonly isSigned?: (query: unknown) => boolean } | undefined;
}

/** Lets nobody through to anything but the probes and the metrics who may not see it. */
export function guard(server: FastifyInstance, options: GateOptions): void {
  const { access, wrongTokens, work, isCrowded, hooks } = options;
  server.addHook('onRequest', async (request, reply) => {
    const pathname = pathOf(request.url);
    const isHook = pathname === hooks?.path;
    const given = isHook ? undefined : proofOf(request, access);
    if (isHook ? hooks.isSigned?.(request.query) === true : given === 'right') {
      if (!isHook && comesFromElsewhere(request, access)) return refuseOtherSite(reply);
      return;
    }
    if (!(await work.turn(request.raw.socket))) return reply.hijack();
    // A connection that is kept would keep its place.
    if (isCrowded()) reply.header('connection', 'close');
    if (alwaysOpen.has(pathname) || (isHook && request.method !== 'POST')) return;
    if (isHook) {
      if (hooks.isSigned === undefined && !comesFromElsewhere(request, { kind: 'open' })) return;
      return reply.code(403).send({
        error:
          hooks.isSigned === undefined
            ? 'without WEBHOOK_TOKEN callbacks come from this machine only'
            : 'not signed with WEBHOOK_TOKEN within the last minute',
      });
    }
    if (access.kind === 'hidden') return reply.code(404).send({ error: 'not found' });
    if (comesFromElsewhere(request, access)) return refuseOtherSite(reply);
    if (access.kind === 'open' || openToStrangers.has(pathname)) return;
    return demand(request, reply, given === 'wrong', wrongTokens);
  });
  // What is left of a body that nobody wants is not read: the connection ends with the answer.
  server.addHook('onSend', async (request, reply) => {
    if (!request.raw.complete) reply.header('connection', 'close');
  });
}

const refuseOtherSite = (reply: FastifyReply) => reply.code(403).send({ error: 'asked by another site' });

/** What stands before the query. A path written otherwise than the open ones are is not open. */
function pathOf(url: string): string {
  const end = url.indexOf('?');
  return end < 0 ? url : url.slice(0, end);
}

/** Whether a request shows the admin token, or a session that was got with it. */
function proofOf(request: FastifyRequest, access: Access): 'right' | 'wrong' | undefined {
  if (access.kind !== 'token') return undefined;
  if (isSession(sessionOf(request.headers.cookie), access.token, Date.now())) return 'right';
  const given = bearerToken(request.headers.authorization);
  return given === undefined ? undefined : isSame(given, access.token) ? 'right' : 'wrong';
}

async function demand(
  request: FastifyRequest,
  reply: FastifyReply,
  wrong: boolean,
  wrongTokens: WrongTokens,
): Promise<FastifyReply> {
  if (wrong && (await wrongTokens.slowDown(request.ip)))
    return reply.code(429).send({ error: 'too many wrong tokens' });
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
