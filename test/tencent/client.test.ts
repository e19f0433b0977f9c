import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { createStop } from '../../src/lifecycle.ts';
import { createScrubber } from '../../src/scrubber.ts';
import { createRandom } from '../../src/simulator/random.ts';
import { type Simulator, startSimulator } from '../../src/simulator/server.ts';
import {
  createTencentClient,
  type TencentClient,
  type TencentClientOptions,
} from '../../src/tencent/client.ts';
import { TencentError } from '../../src/tencent/errors.ts';

const app = {
  appId: 1_400_000_000,
  secretKey: 'a-key-that-must-not-be-seen',
  admin: 'administrator',
  callsPerSecond: 190,
};
const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function startVendor(): Promise<Simulator> {
  const simulator = await startSimulator({ ...app }, createRandom(1));
  simulator.truth.addAccount('alice');
  simulator.truth.change('alice', { kind: 'add_group', group: '家人', members: ['bob'] });
  closers.push(() => simulator.close());
  return simulator;
}

function clientFor(origin: string, options: Partial<TencentClientOptions> = {}): TencentClient {
  const client = createTencentClient({
    app: { ...app, origin },
    takeToken: async () => undefined,
    now: () => 1000,
    scrubber: createScrubber([app.secretKey]),
    timeouts: { connectMs: 500, responseMs: 300 },
    ...options,
  });
  closers.push(() => client.close());
  return client;
}

/** A server that answers every call with one text. */
async function answering(body: string | Uint8Array, status = 200): Promise<string> {
  const server = createServer((_request, response) => {
    response.writeHead(status).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(async () => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function errorOf(call: Promise<unknown>): Promise<TencentError> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof TencentError) return error;
  throw new Error(`no TencentError but ${String(error)}`);
}

describe('a call of the vendor', () => {
  test('brings the account’s groups, and when it was sent', async () => {
    const { origin } = await startVendor();
    expect(await clientFor(origin).groupGet('alice', 0, createStop())).toEqual({
      sentAt: 1000,
      sequence: 1,
      groups: [{ name: '家人', friendNumber: 1, members: ['bob'] }],
    });
  });

  test('an error code becomes its kind, with the vendor’s words', async () => {
    const { origin } = await startVendor();
    const error = await errorOf(clientFor(origin).groupGet('stranger', 0, createStop()));
    expect(error).toMatchObject({ kind: 'account_not_found', code: 30003, sentAt: 1000 });
    expect(error.message).toMatch(/Not_Exist/);
  });

  test.each([
    ['http_502', 'transient', 502],
    ['reset', 'transient', 0],
    ['hang', 'transient', 0],
    ['truncated', 'transient', 0],
    ['html', 'transient', 0],
    ['wrong_type', 'malformed_response', 0],
    ['null_fields', 'malformed_response', 0],
    [30006, 'transient', 30006],
    [60007, 'rate_limited', 60007],
    [70403, 'credentials', 70403],
    [77777, 'unknown', 77777],
  ] as const)('%s is %s', async (fault, kind, code) => {
    const { origin, setFaults } = await startVendor();
    setFaults([{ kind: fault, probability: 1 }]);
    const error = await errorOf(clientFor(origin).groupGet('alice', 0, createStop()));
    expect(error).toMatchObject({ kind, code });
  });

  test('a closed port is a transient error, and a page that is not the API a wrong configuration', async () => {
    expect((await errorOf(clientFor('http://127.0.0.1:1').groupGet('a', 0, createStop()))).kind).toBe(
      'transient',
    );
    const notFound = await answering('not here', 404);
    expect((await errorOf(clientFor(notFound).groupGet('a', 0, createStop()))).kind).toBe('configuration');
  });

  test('bytes that are no UTF-8 are refused rather than replaced', async () => {
    const body = Buffer.concat([
      Buffer.from('{"ErrorCode":0,"CurrentSequence":1,"X":"'),
      Buffer.from([0xff]),
      Buffer.from('"}'),
    ]);
    const error = await errorOf(clientFor(await answering(body)).groupGet('a', 0, createStop()));
    expect(error).toMatchObject({ kind: 'transient', message: 'the answer is not JSON' });
  });

  test('an endless answer is cut off', async () => {
    const origin = await answering('x'.repeat(33 * 1024 * 1024));
    const client = clientFor(origin, { timeouts: { connectMs: 5000, responseMs: 5000 } });
    expect((await errorOf(client.groupGet('a', 0, createStop()))).kind).toBe('malformed_response');
  });

  test('an expired signature is made again once, with a token of its own; then it is a matter of credentials', async () => {
    const { origin, setFaults, stats } = await startVendor();
    let tokens = 0;
    const client = clientFor(origin, {
      takeToken: async () => {
        tokens += 1;
        // The second attempt of the first call finds the vendor content.
        if (tokens === 2) setFaults([]);
      },
    });
    setFaults([{ kind: 70001, probability: 1 }]);
    expect((await client.groupGet('alice', 0, createStop())).sequence).toBe(1);
    expect(tokens).toBe(2);
    setFaults([{ kind: 70001, probability: 1 }]);
    expect(await errorOf(client.groupGet('alice', 0, createStop()))).toMatchObject({
      kind: 'credentials',
      code: 70001,
    });
    expect(stats().calls).toBe(4);
  });

  test('every attempt takes a token before it is sent', async () => {
    const { origin, stats } = await startVendor();
    const stop = createStop();
    const waiting = clientFor(origin, {
      takeToken: (signal) =>
        new Promise((_, reject) =>
          signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
        ),
    }).groupGet('alice', 0, stop);
    stop.abortSoft();
    await expect(waiting).rejects.toBe(stop.soft.reason);
    expect(stats().calls).toBe(0);
  });

  test('a hard stop ends a call that hangs', async () => {
    const { origin, setFaults, stats } = await startVendor();
    setFaults([{ kind: 'hang', probability: 1 }]);
    const stop = createStop();
    const hanging = clientFor(origin, { timeouts: { connectMs: 5000, responseMs: 60_000 } }).groupGet(
      'alice',
      0,
      stop,
    );
    while (stats().calls === 0) await new Promise((resolve) => setImmediate(resolve));
    stop.abortHard();
    await expect(hanging).rejects.toBe(stop.hard.reason);
  });
});

describe('secrets', () => {
  test.each(['http_502', 'reset', 'hang', 'html', 'truncated', 70001, 70003] as const)(
    'neither key nor signature is in the error when the vendor answers with %s',
    async (fault) => {
      const vendor = await startVendor();
      // The simulator quotes the whole query in its pages, and the signature when it refuses it.
      if (fault === 70003) vendor.setSecretKey('another key');
      else vendor.setFaults([{ kind: fault, probability: 1 }]);
      const error = await errorOf(clientFor(vendor.origin).groupGet('alice', 0, createStop()));
      const text = `${error.message} ${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`;
      expect(text).not.toContain(app.secretKey);
      expect(text).not.toMatch(/usersig=(?!\[removed\])|eJ[A-Za-z0-9*_-]{20}|random=/);
    },
  );

  test('what the vendor says of a signature is kept, without the signature', async () => {
    const vendor = await startVendor();
    vendor.setSecretKey('another key');
    const error = await errorOf(clientFor(vendor.origin).groupGet('alice', 0, createStop()));
    expect(error).toMatchObject({ kind: 'credentials', code: 70003 });
    expect(error.message).toBe('usersig [removed] of administrator refused');
  });
});
