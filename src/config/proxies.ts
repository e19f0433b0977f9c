import { z } from 'zod';

/** Proxies on the way to the vendor, as `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` name them. URLs may hold a password. */
export interface Proxies {
  readonly https: string | undefined;
  readonly http: string | undefined;
  /** Hosts that are called without one. */
  readonly none: string | undefined;
}

const proxyUrl = z.url({ protocol: /^https?$/ });

/** Reads the proxies from an environment, in small or capital letters; what can't be used goes to `problems`. */
export function readProxies(
  env: Readonly<Record<string, string | undefined>>,
  problems: string[],
): Proxies | undefined {
  const read = (name: string) => env[name.toLowerCase()]?.trim() || env[name]?.trim() || undefined;
  const [https, http] = ['HTTPS_PROXY', 'HTTP_PROXY'].map((name) => {
    const url = read(name);
    if (url === undefined || proxyUrl.safeParse(url).success) return url;
    problems.push(`${name} must be the URL of an HTTP proxy, such as http://proxy:3128.`);
    return undefined;
  });
  if (https === undefined && http === undefined) return undefined;
  return { https, http, none: read('NO_PROXY') };
}

/** The proxy for calls to this origin, unless NO_PROXY names it: a proxy for `http` is none for `https`. */
export function proxyFor(origin: string, proxies: Proxies | undefined): string | undefined {
  return origin.startsWith('https:') ? proxies?.https : proxies?.http;
}

/** Host and port of a proxy, without what may be a password. */
export function placeOfProxy(proxy: string): string {
  return new URL(proxy).host;
}
