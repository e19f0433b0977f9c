import { createHash } from 'node:crypto';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect, Socket } from 'node:net';
import { Registry } from 'prom-client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { limitConnections } from '../../src/http/connections.ts';
import { createWorkLimit } from '../../src/http/work-limit.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startTestServer } from '../support/http.ts';
import { waitFor } from '../support/wait-for.ts';

const webhookToken = 'the-webhook-token';
const adminToken = 'the-admin-token-of-the-tests';
let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});

afterAll(async () => {
  await database?.[Symbol.asyncDispose]();
});

const hooks = {
  webhookToken,
  allowUnsigned: false,
  now: Date.now,
  hasApp: () => true,
  take: () => undefined,
  onRefused: () => undefined,
};

/** The part of a query that signs a callback now. */
function sign(): string {
  const time = Math.floor(Date.now() / 1000);
  const signature = createHash('sha256').update(`${webhookToken}${time}`).digest('hex');
  return `Sign=${signature}&RequestTime=${time}`;
}

/** A connection, with what came over it. */
async function open(url: string): Promise<{ socket: Socket; said: () => string; ended: Promise<unknown> }> {
  const { port } = new URL(url);
  const socket = connect({ host: '127.0.0.1', port: Number(port) });
  let said = '';
  socket.on('data', (chunk: Buffer) => {
    said += chunk;
  });
  socket.on('error', () => undefined);
  const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  await once(socket, 'connect');
  return { socket, said: () => said, ended };
}

describe('what needs no token', () => {
  test('is put together once a second for all who scrape', async () => {
    let computed = 0;
    const registry = new Registry();
    const metrics = {
      contentType: registry.contentType,
      async metrics() {
        computed += 1;
        return 'tim_mirror 1\n';
      },
    };
    const workLimit = { perSecond: 10_000, burst: 10_000 };
    await using server = await startTestServer(database.db, { metrics, workLimit });
    const began = performance.now();
    for (let round = 0; round < 10; round += 1) {
      const texts = await Promise.all(
        Array.from({ length: 30 }, async () => (await server.ask('/metrics')).text()),
      );
      expect(new Set(texts)).toEqual(new Set(['tim_mirror 1\n']));
    }
    expect(computed).toBeLessThanOrEqual(1 + Math.ceil((performance.now() - began) / 1000));
  });

  test('waits for its turn, in order, and a right token does not wait', async () => {
    // One turn, and then none for an hour.
    const workLimit = { perSecond: 1 / 3600, burst: 1 };
    await using server = await startTestServer(database.db, { workLimit, adminToken, hooks });
    expect((await server.ask('/readyz')).status).toBe(200);
    let answered = 0;
    const waiting = ['/readyz', '/metrics', '/livez', '/login', '/status', '/nothing'].map(async (path) => {
      const { socket, said } = await open(server.server.url);
      socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      socket.on('data', () => {
        answered += 1;
      });
      return { socket, said };
    });
    const opened = await Promise.all(waiting);
    const right = { headers: { authorization: `Bearer ${adminToken}` } };
    for (let times = 0; times < 20; times += 1)
      expect((await server.ask('/nothing', right)).status).toBe(404);
    // Nor does a signed callback.
    const query = `SdkAppid=1&CallbackCommand=Group.CallbackAfterSendMsg&${sign()}`;
    for (let times = 0; times < 20; times += 1) {
      const signed = await server.ask(`/hooks/tim?${query}`, { method: 'POST', body: '{}' });
      expect(signed.status).toBe(200);
    }
    expect(answered).toBe(0);
    for (const { socket } of opened) socket.destroy();
  });

  test('asked for twice on one connection before it was answered, it ends the connection', async () => {
    const workLimit = { perSecond: 1 / 3600, burst: 1 };
    await using server = await startTestServer(database.db, { workLimit });
    const { socket, ended, said } = await open(server.server.url);
    socket.write('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(50));
    await ended;
    expect(said().split('HTTP/1.1 200').length - 1).toBeLessThanOrEqual(1);
  });
});

describe('the limit of work', () => {
  test('gives as many turns as it says, and none to a client that has gone', async () => {
    let now = 0;
    const limit = createWorkLimit({ perSecond: 1000, burst: 5, now: () => now });
    const sockets = Array.from({ length: 20 }, () => new Socket());
    const turns: number[] = [];
    sockets.forEach((socket, index) => {
      void limit.turn(socket).then((turn) => turn && turns.push(index));
    });
    await waitFor('the burst', () => turns.length === 5);
    expect(limit.waiting()).toBe(15);
    for (const gone of sockets.slice(5, 10)) gone.destroy();
    now += 3;
    await waitFor('three more', () => turns.length === 8);
    expect(turns).toEqual([0, 1, 2, 3, 4, 10, 11, 12]);
    expect(limit.waiting()).toBe(7);
    now += 1000;
    await waitFor('the burst again', () => turns.length === 13);
    now += 1000;
    await waitFor('the rest', () => limit.waiting() === 0);
  });
});

describe('a callback that is not signed', () => {
  test('is refused before its body is read', async () => {
    const read: Socket[] = [];
    const note = (message: unknown) => {
      const socket: unknown = Reflect.get(Object(message), 'socket');
      if (socket instanceof Socket) read.push(socket);
    };
    subscribe('net.server.socket', note);
    await using server = await startTestServer(database.db, { hooks });
    const posts = await Promise.all(
      Array.from({ length: 4 }, async () => {
        const connection = await open(server.server.url);
        const bytes = 50_000_000;
        connection.socket.write(
          `POST /hooks/tim?SdkAppid=1&CallbackCommand=Sns.CallbackFriendAdd HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${bytes}\r\n\r\n`,
        );
        const chunk = Buffer.alloc(65_536, 'x');
        // As fast as it is taken.
        const send = () => {
          while (!connection.socket.destroyed && connection.socket.write(chunk));
        };
        connection.socket.on('drain', send);
        send();
        await connection.ended;
        return connection;
      }),
    );
    // What is on its way fills the buffers of both ends, a few megabytes; the server has read a small part of that.
    const sent = posts.map(({ socket }) => socket.bytesWritten);
    for (const bytes of sent) expect(bytes).toBeLessThan(20_000_000);
    unsubscribe('net.server.socket', note);
    expect(read).toHaveLength(4);
    for (const { bytesRead } of read) expect(bytesRead).toBeLessThan(500_000);
  });

  test('and a signed one that is too large, are both answered', async () => {
    await using server = await startTestServer(database.db, { hooks });
    const path = '/hooks/tim?SdkAppid=1&CallbackCommand=Sns.CallbackFriendAdd';
    expect((await server.ask(path, { method: 'POST', body: '{}' })).status).toBe(403);
    const large = await server
      .ask(`${path}&${sign()}`, { method: 'POST', body: 'x'.repeat(500_000) })
      .then(({ status }) => status)
      // The answer comes while the body is on its way, and the connection ends with it.
      .catch(() => 413);
    expect(large).toBe(413);
  });
});

describe('connections', () => {
  test('that are held do not keep a probe from its answer', async () => {
    await using server = await startTestServer(database.db);
    // Some say nothing, some begin a request, some a body.
    const begun = [
      '',
      'GET /livez HTTP/1.1\r\nX: ',
      'POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n',
    ];
    const held = await Promise.all(
      Array.from({ length: 250 }, async (_, index) => {
        const connection = await open(server.server.url);
        connection.socket.write(begun[index % begun.length] ?? '');
        return connection;
      }),
    );
    for (let times = 0; times < 3; times += 1) expect((await server.ask('/livez')).status).toBe(200);
    expect(held.some(({ socket }) => !socket.destroyed)).toBe(true);
    for (const { socket } of held) socket.destroy();
  });

  test('beyond those that are served wait unread, give up after a while, and are bounded in number', async () => {
    const limits = { served: 3, waiting: 2, longestWaitMs: 500, timeoutMs: 60_000 };
    let requests = 0;
    const server: Server = createServer((_request, response) => {
      requests += 1;
      // The three keep their places.
      response.write('…');
    });
    const connections = limitConnections(server, limits);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const opened = await Promise.all(
      Array.from({ length: 9 }, async () => {
        const connection = await open(`http://127.0.0.1:${address.port}`);
        connection.socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
        return connection;
      }),
    );
    await waitFor(
      'those that found no place',
      () => opened.filter(({ socket }) => socket.closed).length >= 4,
    );
    expect(connections.counts().served).toBe(3);
    expect(requests).toBe(3);
    // The two that waited have given up too.
    await waitFor('those that waited', () => opened.filter(({ socket }) => socket.closed).length === 6);
    expect(connections.counts()).toEqual({ served: 3, waiting: 0 });
    // A place that becomes free is given to who comes next.
    opened.find(({ socket }) => !socket.closed)?.socket.destroy();
    const next = await open(`http://127.0.0.1:${address.port}`);
    next.socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await waitFor('the next', () => requests === 4);
    connections.close();
    server.closeAllConnections();
    server.close();
  });

  test('that send a body slowly are cut off after the time that a request may take', async () => {
    await using server = await startTestServer(database.db, { adminToken });
    const { socket, said } = await open(server.server.url);
    socket.write('POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000\r\n');
    socket.write('Content-Type: application/x-www-form-urlencoded\r\n\r\n');
    const drip = setInterval(() => socket.write('x'), 200);
    // The limit is 10 s; Node looks after it every second.
    await waitFor('the end', () => socket.closed, 40_000);
    clearInterval(drip);
    expect(said()).toMatch(/^HTTP\/1\.1 408/);
  });
});
