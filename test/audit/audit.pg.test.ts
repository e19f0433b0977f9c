import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { readAudits, sampleAccounts } from '../../db/queries/audit.ts';
import { estimateShare } from '../../src/audit/accuracy.ts';
import { auditSample } from '../../src/audit/audit-sample.ts';
import { compareAccount } from '../../src/audit/compare-account.ts';
import { probeSequence } from '../../src/audit/probe-sequence.ts';
import { silentLogger } from '../../src/log.ts';
import { createResponseMemory } from '../../src/tencent/response-memory.ts';
import { createWorld, testApp, type World } from '../support/world.ts';

let world: World;
let next = 0;
let id: string;

beforeAll(async () => {
  world = await createWorld();
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

beforeEach(async () => {
  next += 1;
  id = `account-${next}`;
  world.vendor.setFaults([]);
  world.vendor.setReading('full');
  await world.addAccounts(id);
  world.vendor.truth.change(id, { kind: 'add_group', group: '家人', members: ['x', 'y'] });
  world.vendor.truth.change(id, { kind: 'add_group', group: 'work', members: ['x'] });
  await world.poll(id);
});

const keyOf = async (account: string) =>
  (
    await world.db
      .selectFrom('mirror.account')
      .select('account_key')
      .where('account_id', '=', account)
      .executeTakeFirstOrThrow()
  ).account_key;
const compare = async () => compareAccount(world, { accountKey: await keyOf(id), accountId: id }, world.stop);
const loseRow = () =>
  sql`
    delete from mirror.friend_group_member member using mirror.friend_group, mirror.account
    where member.group_key = friend_group.group_key and friend_group.account_key = account.account_key
      and account_id = ${id} and friend_id = 'y'
  `.execute(world.db);

describe('comparing an account with the vendor', () => {
  test('an answer that lists fewer friends than it counts is no proof that the mirror is wrong', async () => {
    world.vendor.setFaults([{ kind: 'short', probability: 1 }]);
    expect(await compare()).toMatchObject({ outcome: 'unread', differences: [] });
    world.vendor.setFaults([]);
    expect(await compare()).toMatchObject({ outcome: 'equal' });
  });

  test('finds it equal', async () => {
    expect(await compare()).toEqual({ accountId: id, outcome: 'equal', differences: [] });
  });

  test('distinguishes what has changed since its last poll from what is wrong', async () => {
    world.vendor.truth.change(id, { kind: 'add_members', group: 'work', members: ['z'] });
    expect(await compare()).toEqual({ accountId: id, outcome: 'stale', differences: ['+ work / z'] });
  });

  test('finds a row that is missing or invented though nothing changed', async () => {
    await loseRow();
    expect(await compare()).toEqual({ accountId: id, outcome: 'wrong', differences: ['+ 家人 / y'] });
  });

  test('looks again before it calls the mirror wrong: the daemon may be writing', async () => {
    world.vendor.truth.change(id, { kind: 'add_members', group: 'work', members: ['z'] });
    world.vendor.truth.setSequence(id, 2);
    let reads = 0;
    const client: typeof world.client = {
      ...world.client,
      async groupGet(...call) {
        reads += 1;
        const read = await world.client.groupGet(...call);
        // Between the two looks the daemon has read the account in full.
        if (reads === 2) await world.poll(id, { now: () => world.deps.now() + 30 * 86_400_000 });
        return read;
      },
    };
    const accountKey = await keyOf(id);
    expect(
      await compareAccount({ db: world.db, client }, { accountKey, accountId: id }, world.stop),
    ).toMatchObject({
      outcome: 'equal',
    });
    expect(reads).toBe(2);
  });

  test('says so when the vendor does not answer', async () => {
    world.vendor.setFaults([{ kind: 30006, probability: 1 }]);
    expect((await compare()).outcome).toBe('unread');
  });
});

describe('the audit of a sample', () => {
  const audit = () =>
    auditSample(
      {
        db: world.db,
        client: world.client,
        appId: testApp.appId,
        callsPerSecond: 190,
        openShare: createResponseMemory().open,
        log: silentLogger(),
      },
      60,
      () => 0.5,
      world.stop,
    );

  test('counts what it compared, and has what is wrong read again', async () => {
    await loseRow();
    const before = (await readAudits(world.db))[0] ?? { checked: 0, wrong: 0 };
    await audit();
    const after = (await readAudits(world.db))[0];
    expect(after?.checked).toBeGreaterThan(before.checked);
    expect(after?.wrong).toBeGreaterThan(before.wrong);
    expect((await compare()).outcome).toBe('unread');
    await world.poll(id);
    expect((await compare()).outcome).toBe('equal');
  });

  test('costs no more than its share of the budget', async () => {
    const calls = world.vendor.stats().calls;
    await audit();
    expect(world.vendor.stats().calls - calls).toBeLessThanOrEqual(190 * 60 * 0.005);
  });

  test('takes every account sooner or later, and none that is not read yet', async () => {
    await world.addAccounts('never-read');
    const sampled = await sampleAccounts(world.db, testApp.appId, 10_000);
    expect(sampled.map((account) => account.accountId)).toContain(id);
    expect(sampled.map((account) => account.accountId)).not.toContain('never-read');
  });
});

test.each([
  [0, 0, undefined],
  [0, 10, { share: 0, low: 0, high: 0.2775 }],
  [10, 10, { share: 1, low: 0.7225, high: 1 }],
  [9990, 10_000, { share: 0.999, low: 0.9982, high: 0.9995 }],
])('%i right of %i: the share and its interval', (hits, trials, expected) => {
  const estimated = estimateShare(hits, trials);
  if (expected === undefined) expect(estimated).toBeUndefined();
  else {
    for (const key of ['share', 'low', 'high'] as const)
      expect(estimated?.[key]).toBeCloseTo(expected[key], 3);
  }
});

describe('probing the sequence', () => {
  test.each(['full', 'changed', 'ignored'] as const)('finds out that it means %s', async (reading) => {
    world.vendor.setReading(reading);
    const before = world.vendor.stats().calls;
    const { reads, finding } = await probeSequence(world.client, id, world.stop);
    expect(finding.reading).toBe(reading);
    expect(finding.consequences.length).toBeGreaterThan(0);
    expect(reads).toHaveLength(10);
    expect(world.vendor.stats().calls - before).toBe(10);
  });

  test('says when an account does not show it', async () => {
    world.vendor.truth.addAccount('bare');
    expect((await probeSequence(world.client, 'bare', world.stop)).finding).toMatchObject({
      reading: 'unclear',
    });
  });

  test('leaves everything as it was', async () => {
    const before = JSON.stringify(world.vendor.truth.rows());
    await probeSequence(world.client, id, world.stop);
    expect(JSON.stringify(world.vendor.truth.rows())).toBe(before);
  });
});
