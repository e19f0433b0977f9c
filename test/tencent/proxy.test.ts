import {
  createServer,
  request as forward,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Proxies, readProxies } from '../../src/config/proxies.ts';
import { createScrubber } from '../../src/scrubber.ts';
import { createRandom } from '../../src/simulator/random.ts';
import { type Simulator, startSimulator } from '../../src/simulator/server.ts';
import { createTencentClient } from '../../src/tencent/client.ts';
import { testApp } from '../support/world.ts';

let vendor: Simulator;
let proxy: Server;
let asked: { to: string; auth: string | undefined }[];

beforeEach(async () => {
  asked = [];
  vendor = await startSimulator({ ...testApp, callsPerSecond: 200 }, createRandom(1));
  vendor.truth.addAccount('alice');
  proxy = createServer();
  proxy.on('connect', (request: IncomingMessage, near: Socket) => {
    asked.push({ to: request.url ?? '', auth: request.headers['proxy-authorization'] });
    near.end('HTTP/1.1 403 Forbidden\r\n\r\n');
  });
  // It alone knows where `vendor.test` is.
  proxy.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const { host, pathname, search } = new URL(request.url ?? '');
    asked.push({ to: host, auth: request.headers['proxy-authorization'] });
    const { method = '', headers } = request;
    const options = { port: new URL(vendor.origin).port, path: pathname + search, method, headers };
    const passed = forward(options, (answer) => answer.pipe(response));
    passed.on('error', () => response.destroy());
    request.pipe(passed);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
});

afterEach(async () => {
  proxy.closeAllConnections();
  proxy.close();
  await vendor.close();
});

const proxyUrl = () => `http://tim:hunter22%21@127.0.0.1:${(proxy.address() as AddressInfo).port}`;

async function call(proxies: Proxies | undefined, origin: string): Promise<unknown> {
  const client = createTencentClient({
    app: { ...testApp, admin: 'administrator', origin, proxies },
    takeToken: async () => undefined,
    now: () => Date.now(),
    scrubber: createScrubber(),
  });
  const never = new AbortController().signal;
  try {
    return await client.groupGet('alice', 0, { soft: never, hard: never }).catch((error: unknown) => error);
  } finally {
    await client.close();
  }
}

const elsewhere = () => `http://vendor.test:${new URL(vendor.origin).port}`;

test('calls go through the proxy, with its user and password', async () => {
  const proxies = readProxies({ HTTP_PROXY: proxyUrl() }, []);
  expect(await call(proxies, elsewhere())).toMatchObject({ groups: expect.anything() });
  const auth = `Basic ${Buffer.from('tim:hunter22!').toString('base64')}`;
  expect(asked).toEqual([{ to: new URL(elsewhere()).host, auth }]);
  await call(readProxies({ HTTPS_PROXY: proxyUrl() }, []), 'https://vendor.test');
  expect(asked.slice(1)).toEqual([{ to: 'vendor.test:443', auth }]);
});

test.each([
  ['this machine', {}, () => vendor.origin],
  ['what NO_PROXY names', { no_proxy: 'example.com,.test' }, elsewhere],
  [
    'an http endpoint where only HTTPS_PROXY is set',
    { HTTP_PROXY: '', HTTPS_PROXY: 'http://127.0.0.1:9' },
    () => vendor.origin,
  ],
])('%s is called without it', async (_what, env, origin) => {
  const proxies = readProxies({ HTTP_PROXY: proxyUrl(), ...env }, []);
  await call(proxies, origin());
  expect(asked).toEqual([]);
});

test('a proxy that refuses or is away is named in the error, without its password', async () => {
  const refused = await call(readProxies({ https_proxy: proxyUrl() }, []), 'https://vendor.test');
  const away = await call(
    readProxies({ https_proxy: 'http://tim:hunter22%21@127.0.0.1:9' }, []),
    'https://vendor.test',
  );
  for (const error of [refused, away]) {
    expect(error).toMatchObject({ kind: 'transient' });
    expect(String(error)).toMatch(/through the proxy 127\.0\.0\.1:\d+ \(/);
    expect(String(error)).not.toMatch(/hunter22/);
  }
});

test('a proxy that is no URL of an HTTP proxy is refused with a sentence that does not show it', () => {
  for (const url of ['proxy:3128', 'socks5://tim:hunter22@proxy', 'hunter22']) {
    const problems: string[] = [];
    expect(readProxies({ HTTPS_PROXY: url }, problems)).toBeUndefined();
    expect(problems).toEqual(['HTTPS_PROXY must be the URL of an HTTP proxy, such as http://proxy:3128.']);
  }
});
