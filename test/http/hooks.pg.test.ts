import { createHash } from 'node:crypto';
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { HooksOptions } from '../../src/http/hooks.ts';
import type { Callback } from '../../src/tencent/callback.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startTestServer, type TestServerOptions } from '../support/http.ts';

const appId = 1_400_000_000;
const token = 'the-webhook-token';
const friendAdd = { PairList: [{ From_Account: 'ann', To_Account: 'bob' }] };

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});

afterAll(async () => {
  await database?.[Symbol.asyncDispose]();
});

async function startHooks(
  webhookToken?: string,
  options: TestServerOptions = {},
  allowUnsigned = webhookToken === undefined,
) {
  const taken: Callback[] = [];
  let refused = 0;
  const hooks: HooksOptions = {
    webhookToken,
    allowUnsigned,
    now: Date.now,
    hasApp: (id) => id === appId,
    take: (_, callback) => taken.push(callback),
    onRefused() {
      refused += 1;
    },
  };
  const server = await startTestServer(database.db, { hooks, ...options });
  const post = (query: string, body: string = JSON.stringify(friendAdd), headers = {}) =>
    server.ask(`/hooks/tim?${query}`, { method: 'POST', body, headers });
  return { ...server, server: server.server, taken, refused: () => refused, post };
}

const command = (name: string, app = appId) =>
  `SdkAppid=${app}&CallbackCommand=${name}&contenttype=json&ClientIP=10.0.0.1&OptPlatform=RESTAPI`;

function signed(name: string, secondsAgo = 0, key = token): string {
  const time = Math.floor(Date.now() / 1000) - secondsAgo;
  const sign = createHash('sha256').update(`${key}${time}`).digest('hex');
  return `${command(name)}&Sign=${sign}&RequestTime=${time}`;
}

describe('a callback', () => {
  test('is answered as the vendor expects, whatever its content type, and taken', async () => {
    await using hooks = await startHooks();
    for (const type of ['application/json', 'text/plain', 'application/x-www-form-urlencoded', 'odd/type']) {
      const answer = await hooks.post(command('Sns.CallbackFriendAdd'), undefined, { 'content-type': type });
      expect(answer.status).toBe(200);
      expect(answer.headers.get('content-type')).toContain('application/json');
      expect(await answer.json()).toEqual({ ActionStatus: 'OK', ErrorCode: 0, ErrorInfo: '' });
    }
    expect(hooks.taken).toEqual(
      Array.from({ length: 4 }, () => ({ kind: 'friends', accounts: ['ann', 'bob'] })),
    );
    expect((await hooks.post(command('Group.CallbackAfterSendMsg'), '{}')).status).toBe(200);
    expect(hooks.taken.at(-1)).toEqual({ kind: 'other' });
    expect(hooks.refused()).toBe(0);
  });

  test('without a content type is taken too', async () => {
    await using hooks = await startHooks();
    const { port } = new URL(hooks.server.url);
    const status = await new Promise((resolve, reject) => {
      const path = `/hooks/tim?${command('Sns.CallbackFriendAdd')}`;
      request({ host: '127.0.0.1', port, path, method: 'POST' }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      })
        .on('error', reject)
        .end(JSON.stringify(friendAdd));
    });
    expect(status).toBe(200);
    expect(hooks.taken).toHaveLength(1);
  });

  test.each([
    ['of another app', command('Sns.CallbackFriendAdd', 7), undefined, 404],
    ['that names no app', 'CallbackCommand=State.StateChange', undefined, 400],
    ['that names no command', `SdkAppid=${appId}`, undefined, 400],
    ['that names an odd app', `SdkAppid=1e400&CallbackCommand=State.StateChange`, undefined, 400],
    ['whose body is not JSON', command('Sns.CallbackFriendAdd'), '{"PairList":', 400],
    ['whose body is another', command('State.StateChange'), '{"Info":{}}', 400],
    ['without a body', command('Sns.CallbackFriendAdd'), '', 400],
  ])('%s is refused with a sentence, and counted', async (_, query, body, status) => {
    await using hooks = await startHooks();
    const answer = await hooks.post(query, body);
    expect(answer.status).toBe(status);
    expect(((await answer.json()) as { error: string }).error.length).toBeGreaterThan(10);
    expect(hooks.taken).toEqual([]);
    expect(hooks.refused()).toBe(1);
  });

  test('may name three thousand friends at once, and not endlessly many', async () => {
    await using hooks = await startHooks();
    const body = (pairs: number) =>
      JSON.stringify({
        PairList: Array.from({ length: pairs }, (_, index) => ({
          From_Account: 'ann'.padEnd(32, 'x'),
          To_Account: `friend-${index}`.padEnd(32, 'x'),
        })),
      });
    expect((await hooks.post(command('Sns.CallbackFriendDelete'), body(3000))).status).toBe(200);
    expect(hooks.taken[0]).toMatchObject({ kind: 'friends' });
    expect((await hooks.post(command('Sns.CallbackFriendDelete'), body(20_000))).status).toBe(413);
  });
});

describe('with WEBHOOK_TOKEN', () => {
  test('a callback counts when it is signed with it, within the last minute', async () => {
    await using hooks = await startHooks(token, { host: '0.0.0.0' });
    expect((await hooks.post(signed('Sns.CallbackFriendAdd'))).status).toBe(200);
    expect(hooks.taken).toHaveLength(1);
    for (const query of [
      command('Sns.CallbackFriendAdd'),
      signed('Sns.CallbackFriendAdd', 120),
      signed('Sns.CallbackFriendAdd', -120),
      signed('Sns.CallbackFriendAdd', 0, 'another'),
    ]) {
      const answer = await hooks.post(query);
      expect(answer.status).toBe(403);
      expect(await answer.text()).not.toContain(token);
    }
    expect(hooks.taken).toHaveLength(1);
  });

  test('it opens nothing else', async () => {
    await using hooks = await startHooks(token, {
      host: '0.0.0.0',
      adminToken: 'a-token-for-administrators',
    });
    expect((await hooks.ask('/status')).status).toBe(401);
    expect((await hooks.ask('/hooks/tim')).status).toBe(404);
    expect((await hooks.ask('/hooks')).status).toBe(401);
  });
});

describe('without WEBHOOK_TOKEN', () => {
  test('callbacks are not there for other machines', async () => {
    await using hooks = await startHooks(undefined, { host: '0.0.0.0' });
    expect((await hooks.post(command('Sns.CallbackFriendAdd'))).status).toBe(404);
    expect(hooks.taken).toEqual([]);
  });

  test('callbacks are not taken at all, unless that is allowed in as many words', async () => {
    await using hooks = await startHooks(undefined, { adminToken: 'a-token-for-administrators' }, false);
    expect((await hooks.post(command('Sns.CallbackFriendAdd'))).status).toBe(401);
    await using open = await startHooks(undefined, {}, false);
    expect((await open.post(command('Sns.CallbackFriendAdd'))).status).toBe(404);
    expect([...hooks.taken, ...open.taken]).toEqual([]);
  });

  test('they are not taken through a proxy of this machine', async () => {
    await using hooks = await startHooks();
    const answer = await hooks.post(command('Sns.CallbackFriendAdd'), undefined, {
      'x-forwarded-for': '203.0.113.9',
    });
    expect([answer.status, hooks.taken]).toEqual([403, []]);
  });

  test('and allowed, they are taken from this machine, also beside an admin token, and not from pages of other sites', async () => {
    await using hooks = await startHooks(undefined, { adminToken: 'a-token-for-administrators' });
    expect((await hooks.post(command('Sns.CallbackFriendAdd'))).status).toBe(200);
    const fromPage = { 'sec-fetch-site': 'cross-site', 'content-type': 'text/plain' };
    const answer = await hooks.post(command('Sns.CallbackFriendAdd'), undefined, fromPage);
    expect(answer.status).toBe(403);
    expect(hooks.taken).toHaveLength(1);
  });
});
