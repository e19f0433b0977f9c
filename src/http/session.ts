import { createHmac, randomBytes } from 'node:crypto';
import { isSame } from './access.ts';

const sessionCookie = 'tim_mirror_session';
export const sessionSeconds = 12 * 3600;

/** A session that a browser has shown: its name, and when it ends, in milliseconds. */
export interface Session {
  readonly id: string;
  readonly endsMs: number;
}

/**
 * What a browser that has shown the token is given: an end, a name and their signature. Every replica with the same token
 * accepts it, none has to remember it, and another token ends it.
 */
export function createSession(token: string, nowMs: number): string {
  const ends = Math.floor(nowMs / 1000) + sessionSeconds;
  const claim = `${ends}.${randomBytes(16).toString('base64url')}`;
  return `${claim}.${sign(token, claim)}`;
}

/** A session that was made with this token and has not ended by itself. */
export function readSession(text: string | undefined, token: string, nowMs: number): Session | undefined {
  const [, claim, ends, id, signature] = /^((\d{1,12})\.([\w-]{22}))\.([\w-]{43})$/.exec(text ?? '') ?? [];
  if (claim === undefined || id === undefined || signature === undefined) return undefined;
  const endsMs = Number(ends) * 1000;
  return isSame(signature, sign(token, claim)) && endsMs > nowMs ? { id, endsMs } : undefined;
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

function sign(token: string, claim: string): string {
  const key = createHmac('sha256', token).update('tim-mirror session').digest();
  return createHmac('sha256', key).update(claim).digest('base64url');
}
