import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Access, bearerToken, hostOf, isLocal, isSame } from './access.ts';
import type { EndedSessions } from './ended-sessions.ts';
import { readSession, sessionOf } from './session.ts';
import type { WorkLimit } from './work-limit.ts';
import type { WrongTokens } from './wrong-tokens.ts';

/** Answers without asking who wants to know. */
const alwaysOpen: ReadonlySet<string> = new Set(['/livez', '/readyz', '/metrics']);
/** What a client without the token must be able to load. */
const openToStrangers: ReadonlySet<string> = new Set(['/login', '/login.css']);

interface GateOptions {
  readonly access: Access;
  /** With a token, only these hosts may be asked for; undefined allows all. */
  readonly allowedHosts: readonly string[] | undefined;
  readonly wrongTokens: WrongTokens;
  readonly endedSessions: EndedSessions;
  /** What is done for those who show no token waits for its turn. */
  readonly work: WorkLimit;
  /** Whether other connections wait to be served. */
  readonly isBusy: () => boolean;
  /** Where the vendor's callbacks come in, and whether one is signed as it must be; undefined where none must be. */
  readonly hooks: { readonly path: string; readonly isSigned?: (query: unknown) => boolean } | undefined;
}

/** Lets only clients with access through to anything but the probes and the metrics. */
export function guard(server: FastifyInstance, options: GateOptions): void {
  const { access, allowedHosts, wrongTokens, endedSessions, work, isBusy, hooks } = options;
  const refusal = (request: FastifyRequest) =>
    refusalOf(request, access.kind === 'open', access.kind === 'token' ? allowedHosts : undefined);
  server.addHook('onRequest', async (request, reply) => {
    const pathname = pathOf(request.url);
    const isHook = pathname === hooks?.path;
    const given = isHook ? undefined : await proofOf(request, access, endedSessions);
    if (isHook ? hooks.isSigned?.(request.query) === true : given === 'right') {
      const error = isHook || alwaysOpen.has(pathname) ? undefined : refusal(request);
      return error === undefined ? undefined : reply.code(403).send({ error });
    }
    if (!(await work.turn(request.raw.socket))) return reply.hijack();
    // A connection that is kept would keep its place.
    if (isBusy()) reply.header('connection', 'close');
    if (alwaysOpen.has(pathname) || (isHook && request.method !== 'POST')) return;
    if (isHook) {
      const error =
        hooks.isSigned === undefined
          ? refusalOf(request, true, undefined)
          : 'not signed with WEBHOOK_TOKEN within the last minute';
      return error === undefined ? undefined : reply.code(403).send({ error });
    }
    if (access.kind === 'hidden') return reply.code(404).send({ error: 'not found' });
    const error = refusal(request);
    if (error !== undefined) return reply.code(403).send({ error });
    if (access.kind === 'open' || openToStrangers.has(pathname)) return;
    return demand(request, reply, given === 'wrong', wrongTokens);
  });
  // The rest of an unwanted body is not read: the connection ends with the answer.
  server.addHook('onSend', async (request, reply) => {
    if (!request.raw.complete) reply.header('connection', 'close');
  });
}

/** What is before the query. A path written otherwise than the open ones are is not open. */
function pathOf(url: string): string {
  const end = url.indexOf('?');
  return end < 0 ? url : url.slice(0, end);
}

/** Whether a request shows the admin token, or a session that was got with it and not logged out. */
async function proofOf(
  request: FastifyRequest,
  access: Access,
  endedSessions: EndedSessions,
): Promise<'right' | 'wrong' | undefined> {
  if (access.kind !== 'token') return undefined;
  const session = readSession(sessionOf(request.headers.cookie), access.token, Date.now());
  if (session !== undefined && !(await endedSessions.has(session))) return 'right';
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
 * Why a request is refused whatever token it shows. A page of another site may make a browser of ours ask, by a form or a
 * script, or by a name of its own that it lets point at this machine.
 */
function refusalOf(
  request: FastifyRequest,
  localOnly: boolean,
  allowedHosts: readonly string[] | undefined,
): string | undefined {
  if (localOnly && !isLocal(request.raw))
    return 'without a token only this machine is answered, by its own name and through no proxy';
  if (allowedHosts !== undefined && !allowedHosts.includes(hostOf(request.raw)))
    return 'HTTP_ALLOWED_HOSTS does not name this host';
  if (request.method === 'GET' || request.method === 'HEAD') return undefined;
  const site = request.headers['sec-fetch-site'];
  const own = site === undefined || site === 'same-origin' || site === 'none';
  return own ? undefined : 'asked by another site';
}
