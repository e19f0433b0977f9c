import { createHmac } from 'node:crypto';
import { isSame } from './access.ts';

export const sessionCookie = 'tim_mirror_session';
export const sessionSeconds = 12 * 3600;

/**
 * What a browser that has shown the token is given: an end and its signature. Every replica with the same token
 * accepts it, none has to remember it, and another token ends it.
 */
export function createSession(token: string, nowMs: number): string {
  const ends = String(Math.floor(nowMs / 1000) + sessionSeconds);
  return `${ends}.${sign(token, ends)}`;
}

/** Whether a session was made with this token and has not ended. */
export function isSession(session: string | undefined, token: string, nowMs: number): boolean {
  const [, ends, signature] = /^(\d{1,12})\.([\w-]{43})$/.exec(session ?? '') ?? [];
  if (ends === undefined || signature === undefined) return false;
  return isSame(signature, sign(token, ends)) && Number(ends) * 1000 > nowMs;
}

/** The session in a `Cookie` header. */
export function sessionOf(header: string | undefined): string | undefined {
  for (const part of (header ?? '').split(';')) {
    const [name, value] = part.trim().split('=', 2);
    if (name === sessionCookie) return value;
  }
  return undefined;
}

/** A `Set-Cookie` header that gives a session, or takes it away. */
export function sessionHeader(session: string | undefined, secure: boolean): string {
  const age = session === undefined ? 0 : sessionSeconds;
  return `${sessionCookie}=${session ?? ''}; Path=/; Max-Age=${age}; HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}`;
}

function sign(token: string, ends: string): string {
  const key = createHmac('sha256', token).update('tim-mirror session').digest();
  return createHmac('sha256', key).update(ends).digest('base64url');
}
