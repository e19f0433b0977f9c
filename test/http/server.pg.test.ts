import { request } from 'node:http';
import { connect as connectTo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect } from '../../db/client.ts';
import { createScrubber } from '../../src/scrubber.ts';
import { daemonEnvironment } from '../support/daemon.ts';
import { startTestServer, type TestServer } from '../support/http.ts';
import { waitFor } from '../support/wait-for.ts';
import { runWarm } from '../support/warm-command.ts';
import { createWorld, testApp, type World } from '../support/world.ts';

const token = 'the-admin-token-of-the-tests';
const bearer = { headers: { authorization: `Bearer ${token}` } };
const guarded = [
  '/',
  '/status',
  '/calls',
  '/freshness',
  '/changes',
  '/explain?app=1&account=a',
  '/page.js',
  '/queues',
  '/nothing',
];

let world: World;

beforeAll(async () => {
  world = await createWorld();
  await world.addAccounts('alice', 'bob', 'carol');
  world.vendor.truth.change('alice', { kind: 'add_group', group: '同事', members: ['bob'] });
  await world.poll('alice');
  await world.poll('bob');
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

const start = (options: Parameters<typeof startTestServer>[1] = {}): Promise<TestServer> =>
  startTestServer(world.db, options);

describe('the probes', () => {
  test('answer every client, and say what is unhealthy', async () => {
    const sick = {
      stuck: () => ['counts'],
      unready: async () => [{ part: 'postgres', sentence: 'Postgres only reads.' }],
    };
    await using well = await start({ host: '0.0.0.0' });
    await using ill = await start({ host: '0.0.0.0', adminToken: token, ...sick });
    expect((await well.ask('/livez')).status).toBe(200);
    expect((await well.ask('/readyz')).status).toBe(200);
    const livez = await ill.ask('/livez');
    expect([livez.status, await livez.json()]).toEqual([503, { ok: false, stuck: ['counts'] }]);
    const readyz = await ill.ask('/readyz');
    expect([readyz.status, await readyz.json()]).toEqual([
      503,
      { ok: false, unready: ['postgres'], reasons: { postgres: 'Postgres only reads.' } },
    ]);
  });
});

describe('everything but the probes and the metrics', () => {
  test('is not there without a token on an address that others can reach', async () => {
    await using server = await start({ host: '0.0.0.0' });
    for (const path of [...guarded, '/login']) expect((await server.ask(path)).status).toBe(404);
    expect((await server.ask('/metrics')).status).toBe(200);
  });

  test('asks for the token, and takes no other', async () => {
    await using server = await start({ host: '0.0.0.0', adminToken: token });
    for (const path of guarded) {
      expect((await server.ask(path)).status).toBe(401);
      const wrong = { headers: { authorization: `Bearer ${token}x` } };
      // Not too often: then the answer would be another.
      if (path === '/status') expect((await server.ask(path, wrong)).status).toBe(401);
    }
    expect((await server.ask('/metrics')).status).toBe(200);
    const status = await server.ask('/status', bearer);
    expect(status.status).toBe(200);
    expect(await status.json()).toMatchObject({ build: { commit: 'abc1234', node: process.version } });
    expect((await server.ask('/nothing', bearer)).status).toBe(404);
  });

  test('is shown without a token on the loopback interface, but to no page of another name', async () => {
    await using server = await start();
    expect((await server.ask('/status')).status).toBe(200);
    expect((await server.ask('/login')).status).toBe(404);
    expect(await statusWithHost(server, 'evil.example.com')).toBe(403);
  });

  test.each([
    'X-Forwarded-For: 203.0.113.9',
    'X-Forwarded-Host: tim.example.com',
    'X-Forwarded-Proto: https',
    'Forwarded: for=203.0.113.9',
    'Via: 1.1 proxy',
    'X-Real-IP: 203.0.113.9',
    'True-Client-IP: 203.0.113.9',
    'CF-Connecting-IP: 203.0.113.9',
  ])('without a token is not shown through a proxy of this machine, which says %s', async (header) => {
    await using server = await start();
    expect(await statusOf(server, `GET / HTTP/1.1\r\nHost: localhost\r\n${header}\r\n\r\n`)).toBe(403);
    expect(await statusOf(server, `GET /readyz HTTP/1.1\r\nHost: localhost\r\n${header}\r\n\r\n`)).toBe(200);
  });

  test('without a token is not shown to nginx, which asks the upstream by its own name, in HTTP/1.0', async () => {
    await using server = await start();
    const host = new URL(server.server.url).host;
    for (const path of ['/', '/status', '/explain?app=1&account=a', '/queues'])
      expect(await statusOf(server, `GET ${path} HTTP/1.0\r\nHost: ${host}\r\n\r\n`)).toBe(403);
  });

  test('with a token is shown under the hosts that are allowed, and the probes and metrics under any', async () => {
    const allowedHosts = ['tim.example.com', '::1'];
    await using server = await start({ adminToken: token, allowedHosts });
    const ask = (path: string, host: string) =>
      statusOf(server, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${token}\r\n\r\n`);
    for (const host of ['tim.example.com', 'TIM.example.com:8080', '[::1]:8080'])
      expect(await ask('/status', host)).toBe(200);
    for (const host of ['evil.example.com', '127.0.0.1', 'tim.example.com.evil.example.com'])
      expect(await ask('/status', host)).toBe(403);
    expect(await ask('/login', 'evil.example.com')).toBe(403);
    for (const path of ['/livez', '/readyz', '/metrics']) expect(await ask(path, '10.0.0.7:8080')).toBe(200);
  });

  test('is not shown to a client that guesses', async () => {
    await using server = await start({ adminToken: token });
    const codes: number[] = [];
    for (let times = 0; times < 12; times += 1) {
      codes.push(
        (await server.ask('/status', { headers: { authorization: `Bearer wrong-${times}` } })).status,
      );
    }
    expect(codes).toEqual([...Array(10).fill(401), 429, 429]);
    // The same address, as all clients have behind a proxy.
    const right = await server.ask('/status', { headers: { authorization: `Bearer ${token}` } });
    expect(right.status).toBe(200);
    const logsIn = await server.ask('/login', {
      method: 'POST',
      redirect: 'manual',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ token }).toString(),
    });
    expect(logsIn.status).toBe(303);
  });
});

describe('a browser', () => {
  const page = { headers: { accept: 'text/html' } };
  const login = (given: string, headers: Record<string, string> = {}) => ({
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body: new URLSearchParams({ token: given }).toString(),
  });

  test('is led to a form, logs in, comes back to where it was, and logs out', async () => {
    await using server = await start({ adminToken: token });
    const led = await server.ask('/queues?x=1', page);
    expect(led.status).toBe(303);
    const form = led.headers.get('location') ?? '';
    expect(form).toBe('/login?next=%2Fqueues%3Fx%3D1');
    expect(await (await server.ask(form, page)).text()).toContain('<p hidden');
    expect((await server.ask('/login.css')).status).toBe(200);

    const refused = await server.ask(form, login('not the token'));
    expect([refused.status, refused.headers.get('set-cookie')]).toEqual([401, null]);
    expect(await refused.text()).not.toContain('<p hidden');
    const accepted = await server.ask(form, login(token, { 'x-forwarded-proto': 'https' }));
    expect([accepted.status, accepted.headers.get('location')]).toEqual([303, '/queues?x=1']);
    const cookie = accepted.headers.get('set-cookie') ?? '';
    expect(cookie).toMatch(/HttpOnly; SameSite=Strict; Secure$/);
    expect(cookie).not.toContain(token);

    const session = { headers: { cookie: cookie.split(';')[0] ?? '' } };
    expect((await server.ask('/status', session)).status).toBe(200);
    // Another replica has seen it, and knows what was logged out a moment ago.
    await using other = await start({ adminToken: token });
    expect((await other.ask('/status', session)).status).toBe(200);
    const out = await server.ask('/logout', { method: 'POST', ...session });
    expect(out.headers.get('set-cookie')).toContain('Max-Age=0');
    expect((await server.ask('/status', session)).status).toBe(401);
    await waitFor('the other replica to refuse the cookie', async () => {
      return (await other.ask('/status', session)).status === 401;
    });
    await using restarted = await start({ adminToken: token });
    expect((await restarted.ask('/status', session)).status).toBe(401);
    // Another user's session goes on.
    const again = await server.ask('/login', login(token));
    const second = { headers: { cookie: again.headers.get('set-cookie')?.split(';')[0] ?? '' } };
    expect((await other.ask('/status', second)).status).toBe(200);
  });

  test('that is logged in sees the page while Postgres is away, and may log out', async () => {
    const away = connect({
      url: 'postgres://127.0.0.1:1/none',
      applicationName: 'test',
      onIdleError: () => undefined,
    });
    await using server = await startTestServer(away, { adminToken: token });
    const accepted = await server.ask('/login', login(token));
    const session = { headers: { cookie: accepted.headers.get('set-cookie')?.split(';')[0] ?? '' } };
    expect((await server.ask('/', session)).status).toBe(200);
    expect((await server.ask('/logout', { method: 'POST', ...session })).status).toBe(303);
    expect((await server.ask('/', session)).status).toBe(401);
    await away.destroy();
  });

  test.each(['//evil.example.com', '/\\evil.example.com', 'https://evil.example.com', 'javascript:alert(1)'])(
    'is not sent on to %s',
    async (next) => {
      await using server = await start({ adminToken: token });
      const accepted = await server.ask(`/login?next=${encodeURIComponent(next)}`, login(token));
      expect(accepted.headers.get('location')).toBe('/');
    },
  );

  test('that another site makes ask is refused', async () => {
    await using server = await start({ adminToken: token });
    const cross = await server.ask('/logout', {
      method: 'POST',
      headers: { 'sec-fetch-site': 'cross-site' },
    });
    expect(cross.status).toBe(403);
  });
});

describe('every answer', () => {
  test('carries security headers, and a policy that loads nothing from elsewhere', async () => {
    await using server = await start();
    for (const path of ['/', '/status', '/metrics', '/livez', '/nothing']) {
      const { headers } = await server.ask(path);
      expect(headers.get('content-security-policy')).toMatch(/^default-src 'none'; script-src 'self';/);
      expect(headers.get('content-security-policy')).not.toContain('unsafe');
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('x-frame-options')).toBe('DENY');
      expect(headers.get('referrer-policy')).toBe('no-referrer');
      expect(headers.get('cache-control')).toBe('no-store');
    }
  });

  test('is free of secrets', async () => {
    const scrubber = createScrubber(['postgres-password']);
    const addQueues = async (server: FastifyInstance) => {
      server.get('/secret', async () => ({ url: 'postgres://tim:postgres-password@host/tim' }));
      server.get('/broken', async () => {
        throw new Error('postgres://tim:postgres-password@host/tim');
      });
    };
    await using server = await start({ scrubber, addQueues });
    expect(await (await server.ask('/secret')).text()).toBe('{"url":"postgres://tim:[removed]@host/tim"}');
    const broken = await server.ask('/broken');
    expect([broken.status, await broken.text()]).toEqual([500, '{"error":"internal error"}']);
  });

  test.each(['accounts', 'compared', 'tim_mirror', 'seconds', '1400000000'])(
    'keeps its names when a password is %s',
    async (password) => {
      await using server = await start({ scrubber: createScrubber([password]) });
      const metrics = await (await server.ask('/metrics')).text();
      const status = await (await server.ask('/status')).text();
      const readiness = await (await server.ask('/readyz')).text();
      expect(metrics).toContain('tim_mirror_compared_accounts');
      for (const text of [metrics, status, readiness]) expect(text).not.toContain('[removed]');
    },
  );

  test('to a request that is too large is short', async () => {
    await using server = await start({ adminToken: token });
    const large = {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: 'x'.repeat(100_000),
    };
    expect((await server.ask('/login', large)).status).toBe(413);
    expect((await server.ask(`/status?${'x'.repeat(20_000)}`, bearer)).status).toBe(431);
  });
});

describe('the figures', () => {
  test('are those of status --json and explain --json', async () => {
    await using server = await start();
    const env = daemonEnvironment({ vendor: world.vendor, databaseUrl: world.database.url });
    const [page, command] = await Promise.all([json(server, '/status'), runWarm(['status', '--json'], env)]);
    const withoutAges = ({ apps }: { apps: object[] }) =>
      apps.map((app) => ({ ...app, ageSeconds: undefined }));
    expect(withoutAges(page)).toEqual(withoutAges(JSON.parse(command.stdout)));
    const reported = JSON.parse((await runWarm(['explain', 'alice', '--json'], env)).stdout);
    const { account } = await json(server, `/explain?app=${testApp.appId}&account=alice`);
    expect({ ...account, now: 0 }).toEqual({ ...reported.account, now: 0 });
  });

  test.each([
    [`/explain?app=${testApp.appId}&account=stranger`, 404],
    ['/explain?app=x&account=alice', 400],
    ['/explain', 400],
    ['/calls', 200],
    ['/changes', 200],
    ['/freshness', 200],
  ])('%s answers %i', async (path, status) => {
    await using server = await start();
    expect((await server.ask(path)).status).toBe(status);
  });

  test('of changes and freshness are those of the mirror', async () => {
    await using server = await start();
    const changes = await json(server, '/changes');
    expect(changes.apps[0].changes).toHaveLength(2);
    const { apps, bounds } = await json(server, '/freshness');
    expect(apps[0].accounts).toHaveLength(bounds.length + 1);
    expect(apps[0].accounts.reduce((sum: number, some: number) => sum + some, 0)).toBe(2);
  });

  test('are missed in a sentence while Postgres is away, and the metrics of the process are still served', async () => {
    const away = connect({
      url: 'postgres://postgres@127.0.0.1:1/none',
      applicationName: 'test',
      onIdleError: () => undefined,
    });
    await using server = await startTestServer(away);
    const status = await server.ask('/status');
    expect([status.status, await status.json()]).toEqual([
      503,
      {
        error: expect.stringMatching(/^Postgres does not answer \(ECONNREFUSED\); /),
      },
    ]);
    const metrics = await (await server.ask('/metrics')).text();
    expect(metrics).toContain('process_cpu_seconds_total');
    expect(metrics).not.toMatch(/^tim_mirror_accounts\{/m);
    await away.destroy();
  });
});

// biome-ignore lint/suspicious/noExplicitAny: a test looks at what it knows to be there
async function json(server: TestServer, path: string): Promise<any> {
  return (await server.ask(path)).json();
}

/** The status of what a request written by hand is answered. */
async function statusOf({ server }: TestServer, text: string): Promise<number> {
  const { port } = new URL(server.url);
  const socket = connectTo({ host: '127.0.0.1', port: Number(port) });
  socket.write(text);
  let answer = '';
  for await (const chunk of socket) {
    answer += chunk;
    if (answer.includes('\r\n\r\n')) break;
  }
  return Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);
}

/** What `/status` answers to a browser that believes to talk to another host; fetch would not say so. */
function statusWithHost({ server }: TestServer, host: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request(`${server.url}/status`, { headers: { host } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on('error', reject)
      .end();
  });
}
