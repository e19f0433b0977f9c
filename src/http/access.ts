import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isLoopback } from '../config/loopback.ts';

/** Who may see more than the probes and the metrics: every client, those with the token, or none. */
export type Access =
  | { readonly kind: 'open' }
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'hidden' };

/** With a token set it is always asked for; without one, only a server that no other machine can reach shows itself. */
export function accessFor(host: string, adminToken: string | undefined): Access {
  if (adminToken !== undefined) return { kind: 'token', token: adminToken };
  return isLoopback(host) ? { kind: 'open' } : { kind: 'hidden' };
}

/** What proxies add: who called them, or that they are in between. */
const forwardingHeader =
  /^(forwarded|via|(x-)?(forwarded|original|real|client|cluster-client|true-client|envoy|cf-connecting|fastly-client)-.+|x-forwarded|cdn-loop|x-amzn-trace-id)$/;

/**
 * Whether a request comes from a program of this machine, for this machine. A proxy beside us connects over the loopback
 * interface too, and often asks for a loopback name; the headers it adds, and HTTP/1.0, as nginx speaks, show it.
 */
export function isLocal(request: IncomingMessage): boolean {
  const from = (request.socket.remoteAddress ?? '').replace(/^::ffff:/, '');
  return (
    isLoopback(from) &&
    isLoopback(hostOf(request)) &&
    request.httpVersion !== '1.0' &&
    !Object.keys(request.headers).some((name) => forwardingHeader.test(name))
  );
}

/** The host that a request asks for, in lower case, without port and brackets; empty where it names none. */
export function hostOf(request: IncomingMessage): string {
  const host = URL.parse(`http://${request.headers.host ?? ''}`)?.hostname ?? '';
  return host.replace(/^\[|\]$/g, '');
}

/** Compares in constant time, whatever is alike and however long either is. */
export function isSame(given: string, secret: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(secret));
}

/** The token of an `Authorization: Bearer …` header. */
export function bearerToken(header: string | undefined): string | undefined {
  return /^Bearer +(\S+) *$/i.exec(header ?? '')?.[1];
}
