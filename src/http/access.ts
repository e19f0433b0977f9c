import { createHash, timingSafeEqual } from 'node:crypto';

/** Who may see more than the probes and the metrics: everybody, who has the token, or nobody. */
export type Access =
  | { readonly kind: 'open' }
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'hidden' };

/** With a token set it is always asked for; without one, only a server that no other machine can reach shows itself. */
export function accessFor(host: string, adminToken: string | undefined): Access {
  if (adminToken !== undefined) return { kind: 'token', token: adminToken };
  return isLoopback(host) ? { kind: 'open' } : { kind: 'hidden' };
}

/** Whether an address to listen on is one that only this machine can reach. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/** Compares in a time that tells nothing of how much is alike, or how long either is. */
export function isSame(given: string, secret: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(secret));
}

/** The token of an `Authorization: Bearer …` header. */
export function bearerToken(header: string | undefined): string | undefined {
  return /^Bearer +(\S+) *$/i.exec(header ?? '')?.[1];
}
