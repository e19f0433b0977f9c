import { EnvHttpProxyAgent } from 'undici';

const loopback = 'localhost,127.0.0.1,[::1],::1';

/** Calls through a proxy, and straight to this machine and to whatever NO_PROXY names. */
export function createProxyAgent(
  proxy: string,
  none: string | undefined,
  timeouts: Pick<EnvHttpProxyAgent.Options, 'connect' | 'headersTimeout' | 'bodyTimeout'>,
): EnvHttpProxyAgent {
  return new EnvHttpProxyAgent({
    httpsProxy: proxy,
    httpProxy: proxy,
    noProxy: none === undefined ? loopback : `${loopback},${none}`,
    ...timeouts,
  });
}
