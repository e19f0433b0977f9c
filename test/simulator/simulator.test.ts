import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { compareWithTruth } from '../../src/simulator/compare.ts';
import { populate, randomChange } from '../../src/simulator/population.ts';
import { createRandom } from '../../src/simulator/random.ts';
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/server.ts';
import { createTruth } from '../../src/simulator/truth.ts';
import { signUser } from '../../src/tencent/user-sig.ts';

const app = { appId: 1_400_000_000, secretKey: 'simulated-key', admin: 'administrator' };
let simulator: Simulator | undefined;

afterEach(async () => {
  await simulator?.close();
  simulator = undefined;
});

async function start(options: Partial<SimulatorOptions> = {}): Promise<Simulator> {
  simulator = await startSimulator({ ...app, ...options }, createRandom(1));
  const { truth } = simulator;
  truth.addAccount('alice');
  truth.change('alice', { kind: 'add_group', group: '家人', members: ['bob', 'carol'] });
  truth.change('alice', { kind: 'add_group', group: 'empty' });
  return simulator;
}

interface CallOptions {
  readonly command?: string;
  readonly query?: Record<string, string>;
  readonly headers?: Record<string, string>;
  readonly method?: string;
}

async function call(body: unknown, options: CallOptions = {}) {
  const query = new URLSearchParams({
    sdkappid: String(app.appId),
    identifier: app.admin,
    usersig: signUser(app),
    random: '1',
    contenttype: 'json',
    ...options.query,
  });
  const method = options.method ?? 'POST';
  return fetch(`${simulator?.origin}/v4/sns/${options.command ?? 'group_get'}?${query}`, {
    method,
    ...(method === 'GET' ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    ...(options.headers === undefined ? {} : { headers: options.headers }),
  });
}

async function answer(body: unknown, options: CallOptions = {}): Promise<Record<string, unknown>> {
  const response = await call(body, options);
  expect(response.status).toBe(200);
  return JSON.parse(await response.text());
}

const everything = { From_Account: 'alice', LastSequence: 0, NeedFriend: 'Need_Friend_Type_Yes' };

describe('the simulated vendor', () => {
  test('sends every group with its members, and leaves empty lists out', async () => {
    await start();
    expect(await answer(everything)).toEqual({
      ResultItem: [
        { GroupName: '家人', FriendNumber: 2, To_Account: ['bob', 'carol'] },
        { GroupName: 'empty', FriendNumber: 0 },
      ],
      CurrentSequence: 2,
      ActionStatus: 'OK',
      ErrorCode: 0,
      ErrorInfo: '',
      ErrorDisplay: '',
    });
  });

  test('sends no members unless asked, and named groups alone with theirs', async () => {
    await start();
    expect((await answer({ From_Account: 'alice' }))['ResultItem']).toEqual([
      { GroupName: '家人', FriendNumber: 2 },
      { GroupName: 'empty', FriendNumber: 0 },
    ]);
    expect(
      (await answer({ From_Account: 'alice', LastSequence: 2, GroupName: ['家人', 'none'] }))['ResultItem'],
    ).toEqual([{ GroupName: '家人', FriendNumber: 2, To_Account: ['bob', 'carol'] }]);
  });

  test.each([
    ['full', { older: ['家人', 'empty'], equal: [], greater: ['家人', 'empty'] }],
    ['changed', { older: ['empty'], equal: [], greater: ['家人', 'empty'] }],
    ['ignored', { older: ['家人', 'empty'], equal: ['家人', 'empty'], greater: ['家人', 'empty'] }],
  ] as const)('reads the sequence as %s', async (reading, expected) => {
    await start({ reading });
    const names = async (LastSequence: number) => {
      const { ResultItem: items } = await answer({ ...everything, LastSequence });
      return Array.isArray(items) ? items.map((item) => item.GroupName) : [];
    };
    expect({ older: await names(1), equal: await names(2), greater: await names(3) }).toEqual(expected);
  });

  test('serves clients that leave things out or send too much', async () => {
    await start();
    for (const options of [
      { headers: { 'content-type': 'text/plain' } },
      { headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      { query: { random: '99999999999999999999', servicename: 'x' } },
    ]) {
      expect((await answer({ From_Account: 'alice', Unknown: 1 }, options))['ErrorCode']).toBe(0);
    }
  });

  test.each([
    ['another app', everything, { query: { sdkappid: '1' } }, 70020],
    ['another key', everything, { query: { usersig: signUser({ ...app, secretKey: 'other' }) } }, 70003],
    ['no signature', everything, { query: { usersig: '' } }, 60004],
    [
      'an identifier that is no administrator',
      everything,
      { query: { identifier: 'eve', usersig: signUser({ ...app, admin: 'eve' }) } },
      60010,
    ],
    ['a random that is no number', everything, { query: { random: 'x' } }, 60002],
    ['an unknown account', { From_Account: 'stranger' }, {}, 30003],
    ['an account that is no text', { From_Account: 1 }, {}, 30001],
    ['an unknown request', { ...everything, NeedFriend: 'need_friend_type_yes' }, {}, 30001],
    ['a body that is not JSON', '{', {}, 60003],
    ['an empty body', '', {}, 60003],
    ['GET', everything, { method: 'GET' }, 60009],
    ['an unknown command', everything, { command: 'group_list' }, 60006],
  ])('refuses %s', async (_, body, options, code) => {
    await start();
    expect(await answer(body, options)).toMatchObject({ ActionStatus: 'FAIL', ErrorCode: code });
  });

  test('group_add and group_delete change the truth and move the sequence', async () => {
    const { truth } = await start();
    const added = await answer(
      { From_Account: 'alice', GroupName: ['new', '家人'], To_Account: ['dave'] },
      { command: 'group_add' },
    );
    expect(added).toMatchObject({ ErrorCode: 0, CurrentSequence: truth.account('alice')?.sequence });
    expect([...(truth.account('alice')?.groups.get('new')?.members ?? [])]).toEqual(['dave']);
    const deleted = await answer({ From_Account: 'alice', GroupName: ['家人'] }, { command: 'group_delete' });
    expect(deleted['CurrentSequence']).toBe(truth.account('alice')?.sequence);
    expect(truth.account('alice')?.groups.has('家人')).toBe(false);
    const tooLong = { From_Account: 'alice', GroupName: ['长'.repeat(11)] };
    expect((await answer(tooLong, { command: 'group_add' }))['ErrorCode']).toBe(30001);
  });

  test('answers one call too many in a sliding second with 60007, and remembers the worst second', async () => {
    const { stats } = await start({ callsPerSecond: 20 });
    const codes = await Promise.all(
      Array.from({ length: 25 }, async () => (await answer(everything))['ErrorCode']),
    );
    expect(codes.filter((code) => code === 60007)).toHaveLength(5);
    expect(stats()).toMatchObject({ calls: 25, worstSecond: 25, answers: { 0: 20, 60007: 5 } });
  });

  test('counts only calls that certainly lie in one second, however late it was to read them', async () => {
    const { stats, origin } = await start({ callsPerSecond: 20 });
    const sockets = await Promise.all(
      Array.from({ length: 30 }, async () => {
        const socket = connect(Number(new URL(origin).port), '127.0.0.1');
        await once(socket, 'connect');
        return socket;
      }),
    );
    await answer(everything);
    for (const socket of sockets)
      socket.write('POST /v4/sns/group_get HTTP/1.1\r\nHost: vendor\r\nContent-Length: 0\r\n\r\n');
    // They may have arrived in any of these two seconds.
    const until = performance.now() + 2000;
    while (performance.now() < until);
    await Promise.all(sockets.map((socket) => once(socket, 'data')));
    expect(stats()).toMatchObject({ calls: 31, worstSecond: 1 });
    for (const socket of sockets) socket.destroy();
  });

  test('goes wrong in every way it is asked to', async () => {
    const { setFaults } = await start();
    const withFault = async (kind: Parameters<typeof setFaults>[0][number]['kind']) => {
      setFaults([{ kind, probability: 1 }]);
      return call(everything);
    };
    expect((await withFault('http_502')).status).toBe(502);
    await expect(withFault('reset')).rejects.toThrow();
    await expect((await withFault('truncated')).json()).rejects.toThrow();
    await expect((await withFault('html')).json()).rejects.toThrow();
    expect(await (await withFault('wrong_type')).json()).toMatchObject({ CurrentSequence: 'many' });
    expect(await (await withFault('null_fields')).json()).toMatchObject({ ResultItem: null });
    expect(await (await withFault('empty')).json()).toMatchObject({ ResultItem: [], ErrorCode: 0 });
    expect(await (await withFault(30006)).json()).toMatchObject({ ErrorCode: 30006 });
    setFaults([]);
    expect((await answer(everything))['ErrorCode']).toBe(0);
  });

  test('takes orders over HTTP for which the vendor has no call', async () => {
    const { origin, truth } = await start();
    const order = async (body: object) => {
      const response = await fetch(`${origin}/control`, { method: 'POST', body: JSON.stringify(body) });
      return { status: response.status, body: await response.json() };
    };
    expect(await order({ do: 'add_account', account: 'zoe' })).toEqual({ status: 200, body: { ok: true } });
    await order({
      do: 'change',
      account: 'alice',
      change: { kind: 'rename_group', group: '家人', to: '亲戚' },
    });
    await order({ do: 'set_sequence', account: 'zoe', sequence: 77 });
    expect(truth.account('alice')?.groups.has('亲戚')).toBe(true);
    expect(truth.account('zoe')?.sequence).toBe(77);
    await order({ do: 'set_faults', faults: [{ kind: 30007, probability: 1 }] });
    expect((await answer(everything))['ErrorCode']).toBe(30007);
    expect((await order({ do: 'nonsense' })).status).toBe(400);
    const reported = await (await fetch(`${origin}/control/truth`)).json();
    expect(reported).toEqual(JSON.parse(JSON.stringify(truth.rows())));
  });
});

describe('a population', () => {
  test('is the same for the same seed, with groups as people make them', () => {
    const make = () => {
      const truth = createTruth();
      const random = createRandom(7);
      const ids = populate(truth, 300, random);
      for (let change = 0; change < 500; change += 1) {
        const id = random.pick(ids);
        truth.change(id, randomChange(truth, id, ids, random));
      }
      return truth;
    };
    const [one, other] = [make(), make()];
    expect(one.rows()).toEqual(other.rows());
    expect(compareWithTruth(one.rows(), other.rows())).toEqual({ missing: [], invented: [] });
    const sizes = one.ids().map((id) => one.account(id)?.groups.size ?? 0);
    expect(Math.min(...sizes)).toBe(0);
    expect(Math.max(...sizes)).toBeGreaterThan(25);
  });

  test('a comparison reports what is missing, what is invented, and what is there twice', () => {
    const truth = createTruth();
    truth.addAccount('a');
    truth.change('a', { kind: 'add_group', group: 'g', members: ['x'] });
    const mirror = {
      groups: [
        ['a', 'g', 1],
        ['a', 'g', 1],
      ],
      members: [['a', 'g', 'y']],
    };
    expect(compareWithTruth(truth.rows(), mirror)).toEqual({
      missing: ['["member","a","g","x"]'],
      invented: ['["group","a","g",1]', '["member","a","g","y"]'],
    });
  });
});
