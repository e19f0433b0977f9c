import { readFileSync } from 'node:fs';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { isSame } from './access.ts';
import type { EndedSessions } from './ended-sessions.ts';
import { createSession, readSession, sessionHeader, sessionOf } from './session.ts';
import type { WrongTokens } from './wrong-tokens.ts';

const form = z.object({ token: z.string().max(1000) });
const query = z.object({ next: z.string().max(1000).optional() });

/** A form for the token, which is exchanged for a session in a cookie; and the way out. */
export function addLogin(
  server: FastifyInstance,
  token: string,
  wrongTokens: WrongTokens,
  endedSessions: EndedSessions,
): void {
  const page = readFileSync(new URL('./page/login.html', import.meta.url), 'utf8');
  const refused = page.replace('<p hidden', '<p');

  server.get('/login', async (_request, reply) => reply.type('text/html; charset=utf-8').send(page));

  server.post('/login', async (request, reply) => {
    const given = form.safeParse(request.body);
    if (!given.success || !isSame(given.data.token.trim(), token)) {
      if (await wrongTokens.slowDown(request.ip)) {
        return reply.code(429).send({ error: 'too many wrong tokens; give the right one' });
      }
      return reply.code(401).type('text/html; charset=utf-8').send(refused);
    }
    const { data } = query.safeParse(request.query);
    return reply
      .header('set-cookie', sessionHeader(createSession(token, Date.now()), isEncrypted(request)))
      .redirect(ownPath(data?.next), 303);
  });

  server.post('/logout', async (request, reply) => {
    const session = readSession(sessionOf(request.headers.cookie), token, Date.now());
    if (session !== undefined) await endedSessions.end(session);
    return reply.header('set-cookie', sessionHeader(undefined, isEncrypted(request))).redirect('/login', 303);
  });
}

/** Where to go on: a path of ours, and nothing that a browser would take for another site. */
function ownPath(next: string | undefined): string {
  return next !== undefined && /^\/(?![/\\])[\w\-./?=&%]*$/.test(next) ? next : '/';
}

/** Whether the browser has come to us, or to who is before us, over TLS. */
function isEncrypted(request: FastifyRequest): boolean {
  return request.headers['x-forwarded-proto'] === 'https';
}
