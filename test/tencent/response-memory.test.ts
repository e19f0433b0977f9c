import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import { createStop } from '../../src/lifecycle.ts';
import { createScrubber } from '../../src/scrubber.ts';
import { createRandom } from '../../src/simulator/random.ts';
import { createTencentClient } from '../../src/tencent/client.ts';
import { createResponseMemory, NoRoomError, responseLimit } from '../../src/tencent/response-memory.ts';
import { waitFor } from '../support/wait-for.ts';
import { testSeed } from '../support/world.ts';

const MB = 2 ** 20;
const never = new AbortController().signal;

function open(memory: ReturnType<typeof createResponseMemory>, key: number) {
  const share = memory.open(key);
  if (share === undefined) throw new Error('there is no room');
  return share;
}

describe('memory for answers', () => {
  test('lets large answers in until three quarters are full, and the next as soon as one is written', async () => {
    const memory = createResponseMemory({ limit: 16 * MB });
    const shares = Array.from({ length: 5 }, (_, key) => open(memory, key));
    const promises = shares.map((share) => share.take(4 * MB, never));
    expect(promises.map((promise) => promise === undefined)).toEqual([true, true, true, false, false]);
    expect(memory.stats()).toEqual({ heldBytes: 12 * MB, waiting: 2, largeAccounts: 5 });
    shares[1]?.close();
    await promises[3];
    expect(memory.stats().waiting).toBe(1);
    for (const share of shares) share.close();
    expect(memory.stats()).toMatchObject({ heldBytes: 0, waiting: 0 });
  });

  test('lets no large answer pass one that has waited for longer, though it would fit', async () => {
    const memory = createResponseMemory({ limit: 16 * MB });
    const [first, second, third] = [open(memory, 1), open(memory, 2), open(memory, 3)];
    first.take(10 * MB, never);
    const waits = second.take(3 * MB, never);
    const behind = third.take(MB, never);
    expect(memory.stats()).toMatchObject({ heldBytes: 10 * MB, waiting: 2 });
    first.close();
    await Promise.all([waits, behind]);
    expect(memory.stats()).toMatchObject({ heldBytes: 4 * MB, waiting: 0 });
  });

  test('is there for small answers however many large ones wait', () => {
    const memory = createResponseMemory({ limit: 16 * MB });
    const large = Array.from({ length: 20 }, (_, key) => open(memory, key));
    for (const share of large) share.take(4 * MB, never);
    for (let key = 20; key < 420; key += 1) expect(open(memory, key).take(10_000, never)).toBeUndefined();
    // Those that wait hear nothing more.
    for (const share of large) share.close();
  });

  test('of an account whose last answer was large is not even opened while there is none', () => {
    const memory = createResponseMemory({ limit: 16 * MB });
    const [first, second] = [open(memory, 1), open(memory, 2)];
    first.take(8 * MB, never);
    second.take(7 * MB, never)?.catch(() => undefined);
    second.close();
    expect(memory.open(2)).toBeUndefined();
    expect(memory.open(3)).toBeDefined();
    first.close();
    const again = open(memory, 2);
    expect(memory.stats().heldBytes).toBe(7 * MB);
    // This time nothing was new.
    again.take(100, never);
    expect(memory.stats()).toMatchObject({ heldBytes: 100, largeAccounts: 1 });
  });

  test('gives an answer up that has waited for too long, or whose poll is stopped', async () => {
    const memory = createResponseMemory({ limit: 4 * MB, timeoutMs: 20 });
    open(memory, 1).take(3 * MB, never);
    await expect(open(memory, 2).take(3 * MB, never)).rejects.toBeInstanceOf(NoRoomError);
    const stop = new AbortController();
    const stopped = open(memory, 3).take(3 * MB, stop.signal);
    stop.abort(new Error('stopped'));
    await expect(stopped).rejects.toThrow('stopped');
    expect(memory.stats()).toMatchObject({ heldBytes: 3 * MB, waiting: 0 });
  });

  test('takes one answer at a time that is larger than all of it', async () => {
    const memory = createResponseMemory({ limit: 4 * MB });
    const [first, second] = [open(memory, 1), open(memory, 2)];
    expect(first.take(10 * MB, never)).toBeUndefined();
    const waits = second.take(10 * MB, never);
    first.close();
    await waits;
    expect(memory.stats().heldBytes).toBe(10 * MB);
  });

  test('lets the one that came first grow, so that polls that read twice do not wait for each other', async () => {
    const memory = createResponseMemory({ limit: 8 * MB });
    const shares = [open(memory, 1), open(memory, 2)];
    for (const share of shares) share.take(3 * MB, never);
    const [first, second] = shares.map((share) => share.take(5 * MB, never));
    expect(first).toBeUndefined();
    shares[0]?.close();
    await second;
  });

  test('is all given back, and never holds more than it may but for one answer, whatever comes', async () => {
    const random = createRandom(testSeed());
    const limit = 8 * MB;
    const memory = createResponseMemory({ limit, timeoutMs: 5 });
    await Promise.all(
      Array.from({ length: 400 }, async (_, key) => {
        for (let poll = 0; poll < 5; poll += 1) {
          const share = memory.open(key % 100);
          for (let answer = 0; answer < 2; answer += 1) {
            const bytes = Math.floor(random.next() ** 4 * 4 * MB);
            await share?.take(bytes, never)?.catch(() => undefined);
            expect(memory.stats().heldBytes).toBeLessThanOrEqual(limit + 4 * MB);
          }
          await new Promise((resolve) => setImmediate(resolve));
          share?.close();
        }
      }),
    );
    expect(memory.stats()).toMatchObject({ heldBytes: 0, waiting: 0 });
  });

  test('remembers an answer by its own length, not by the room that was taken for it', () => {
    const memory = createResponseMemory({ limit: 4 * MB });
    const share = open(memory, 1);
    share.take(80_000, never);
    expect(memory.stats()).toMatchObject({ heldBytes: 80_000, largeAccounts: 1 });
    share.received(60_000);
    expect(memory.stats()).toMatchObject({ heldBytes: 60_000, largeAccounts: 0 });
    share.close();
    expect(memory.stats().heldBytes).toBe(0);
  });

  test.each([
    [64, 5],
    [384, 16],
    [256, 8],
    [4096, 16],
  ])('of a heap of %d MB is %d MB of answers', (heap, limit) => {
    expect(responseLimit(heap * MB)).toBe(limit * MB);
  });
});

describe('an answer for which there is no room yet', () => {
  const app = {
    appId: 1_400_000_000,
    secretKey: 'a-key-for-tests',
    admin: 'administrator',
    callsPerSecond: 190,
  };

  const responseMs = 1500;

  async function serving(send: (response: ServerResponse) => void) {
    const server = createServer((_request, response) => send(response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const client = createTencentClient({
      app: { ...app, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` },
      takeToken: async () => undefined,
      now: () => 1000,
      scrubber: createScrubber([app.secretKey]),
      timeouts: { connectMs: responseMs, responseMs },
    });
    return {
      client,
      async [Symbol.asyncDispose]() {
        await client.close();
        server.closeAllConnections();
        server.close();
      },
    };
  }

  const members = Array.from({ length: 60_000 }, (_, place) => `friend-${place}`.padEnd(32, 'x'));
  const body = JSON.stringify({
    ErrorCode: 0,
    CurrentSequence: 7,
    ResultItem: [{ GroupName: '家人', FriendNumber: members.length, To_Account: members }],
  });

  test.each([
    ['says its length', (response: ServerResponse) => response.end(body)],
    [
      'comes in pieces',
      (response: ServerResponse) => {
        for (let from = 0; from < body.length; from += 100_000)
          response.write(body.slice(from, from + 100_000));
        response.end();
      },
    ],
  ])('that %s waits, comes whole, and the vendor is not blamed', async (_, send) => {
    await using vendor = await serving(send);
    const memory = createResponseMemory({ limit: 4 * MB });
    const other = open(memory, 1);
    other.take(4 * MB, never);
    const share = open(memory, 2);
    const read = vendor.client.groupGet('alice', 0, { ...createStop(), share });
    read.catch(() => undefined);
    await waitFor('the answer to wait', () => memory.stats().waiting === 1);
    const began = performance.now();
    // The vendor would be too slow by then, were the waiting its own.
    await waitFor(
      'the time of the vendor to be over',
      () => performance.now() - began > 2 * responseMs + 500,
    );
    expect(memory.stats().heldBytes).toBeLessThan(4.2 * MB);
    other.close();
    expect((await read).groups[0]?.members).toEqual(members);
    expect(memory.stats().heldBytes).toBeGreaterThanOrEqual(body.length);
    share.close();
    expect(memory.stats().heldBytes).toBe(0);
  });

  test('is not needed by small answers that do not say their length, however many come at once', async () => {
    await using vendor = await serving((response) => {
      response.writeHead(200);
      response.write('{"ErrorCode":0,');
      response.end('"CurrentSequence":7,"ResultItem":[]}');
    });
    const memory = createResponseMemory({ limit: 5 * MB });
    for (let round = 0; round < 3; round += 1) {
      const shares = Array.from({ length: 70 }, (_, key) => open(memory, key));
      const reads = shares.map((share) =>
        vendor.client.groupGet('alice', 6, { ...createStop(), share }).finally(share.close),
      );
      await Promise.all(reads);
      expect(memory.stats()).toEqual({ heldBytes: 0, waiting: 0, largeAccounts: 0 });
    }
  });

  test('that is never received whole leaves nothing behind', async () => {
    await using vendor = await serving((response) => {
      response.writeHead(200, { 'content-length': MB }).flushHeaders();
      setTimeout(() => response.destroy(), 50);
    });
    const memory = createResponseMemory({ limit: 4 * MB });
    const share = open(memory, 1);
    await expect(vendor.client.groupGet('alice', 0, { ...createStop(), share })).rejects.toMatchObject({
      kind: 'transient',
    });
    share.close();
    expect(memory.stats()).toMatchObject({ heldBytes: 0, waiting: 0 });
  });

  test('that says it is longer than any answer can be is not received', async () => {
    await using vendor = await serving((response) => {
      response.writeHead(200, { 'content-length': 17 * MB }).write('{');
    });
    await expect(vendor.client.groupGet('alice', 0, createStop())).rejects.toMatchObject({
      kind: 'malformed_response',
      message: 'the answer is longer than 16777216 bytes',
    });
  });
});
