import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connect } from '../../db/client.ts';
import { shortestUnitSeconds } from '../../src/schedule/queue-stats.ts';
import { explainAccount } from '../../src/status/explain-account.ts';
import { createStorageHealth } from '../../src/sync/storage-health.ts';
import { createWorld, testApp, type World } from '../support/world.ts';

let world: World;

beforeEach(async () => {
  world = await createWorld();
});

afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const run = (text: string) => sql.raw(text).execute(world.db);
const addGroup = (id: string, group: string, members: readonly string[]) =>
  world.vendor.truth.change(id, { kind: 'add_group', group, members });
const removeMember = (id: string, group: string, member: string) =>
  world.vendor.truth.change(id, { kind: 'remove_members', group, members: [member] });

/** Accounts of which each has a group with members, mirrored. */
async function mirrored(...ids: readonly string[]): Promise<void> {
  await world.addAccounts(...ids);
  for (const id of ids) {
    addGroup(id, 'a', ['x', 'y', 'z']);
    expect((await world.poll(id)).outcome).toBe('changed');
  }
}

async function stateOf(id: string) {
  const { rows } = await sql<{ status: string; failures: number; error: string | null }>`
    select reported.status, fail_count as failures, last_error as error
    from mirror.poll_state join mirror.account using (account_key) join tim.accounts reported using (account_id)
    where account_id = ${id}
  `.execute(world.db);
  return rows[0];
}

/** Refuses what names this friend or group in the feed, with this SQLSTATE. */
async function refuse(name: string, code: string): Promise<void> {
  await run(`
    create or replace function mirror.refuse() returns trigger language plpgsql as $$
    begin
      if '${name}' in (new.group_name, new.friend_id) then raise exception 'refused' using errcode = '${code}', detail = '${name}';
      end if;
      return new;
    end $$;
    create or replace trigger refuse before insert on mirror.change for each row execute function mirror.refuse();
  `);
}

/** Polls an account some times, and writes another's change between. */
async function pollBeside(id: string, other: string, times: number): Promise<string[]> {
  const outcomes = [];
  for (let time = 0; time < times; time += 1) {
    outcomes.push((await world.poll(id)).outcome);
    addGroup(other, `group ${time}`, []);
    expect((await world.poll(other)).outcome).toBe('changed');
  }
  return outcomes;
}

describe('a write that the database refuses again and again', () => {
  test('is a failure that shows: the account waits longer each time and is set aside with Postgres’ words; others go on', async () => {
    await mirrored('anna', 'ben');
    await run(`
      alter table mirror.friend_group_member drop constraint friend_group_member_pkey;
      create publication everything for all tables;
    `);
    removeMember('anna', 'a', 'x');
    const result = await world.poll('anna');
    expect(result).toMatchObject({
      outcome: 'storage_failed',
      failure: 'storage_failed',
      refusal: { class: '55', transient: false },
      record: { failCount: 1, stride: expect.any(Number) },
    });
    expect(await pollBeside('anna', 'ben', 4)).toEqual([
      'storage_failed',
      'storage_failed',
      'storage_failed',
      'quarantined',
    ]);
    expect(await stateOf('anna')).toEqual({
      status: 'quarantined',
      failures: 5,
      error: expect.stringMatching(
        /^the database refused the answer: 55000: cannot update table "friend_group_member"/,
      ),
    });
    const reported = await explainAccount(world.db, testApp.appId, 'anna');
    expect(reported?.outcomes[0]).toMatchObject({
      outcome: 'quarantined',
      message: expect.stringContaining('55000'),
    });

    // A good answer brings it back, once the cause is gone.
    await run('drop publication everything');
    expect((await world.poll('anna')).outcome).toBe('changed');
    expect(await stateOf('anna')).toMatchObject({ status: 'active', failures: 0 });
    expect(await world.differences()).toEqual({ missing: [], invented: [] });
  });

  test('is forgiven twice where it passes by itself, and then counts, while others are written', async () => {
    await mirrored('giant', 'ben');
    await refuse('slow', '57014');
    addGroup('giant', 'slow', []);
    const outcomes = await pollBeside('giant', 'ben', 7);
    expect(outcomes).toEqual([
      'released',
      'released',
      ...Array.from({ length: 4 }, () => 'storage_failed'),
      'quarantined',
    ]);
    expect((await stateOf('giant'))?.error).toBe('the database refused the answer: 57014: refused');
  });

  test('costs an account no more than the first wait while many are refused', async () => {
    const ids = Array.from({ length: 8 }, (_, index) => `user-${index}`);
    await mirrored(...ids);
    await refuse('bad', '55000');
    for (const id of ids) addGroup(id, 'bad', []);
    for (let round = 0; round < 6; round += 1) {
      for (const id of ids) {
        const { outcome, record } = await world.poll(id);
        expect(outcome).toBe('storage_failed');
        if (round > 0) expect(record?.stride).toBeLessThanOrEqual(30 / shortestUnitSeconds);
      }
    }
    for (const id of ids) expect(await stateOf(id)).toMatchObject({ status: 'active', failures: 1 });
    await run('drop trigger refuse on mirror.change');
    for (const id of ids) expect((await world.poll(id)).outcome).toBe('changed');
  });

  test('costs no account anything while the database is away altogether', async () => {
    await mirrored('anna');
    addGroup('anna', 'b', []);
    const away = connect({
      url: 'postgres://postgres@127.0.0.1:1/none',
      applicationName: 'away',
      onIdleError: () => undefined,
    });
    const storage = createStorageHealth();
    for (let time = 0; time < 10; time += 1) {
      const result = await world.poll('anna', { db: away, health: { storage } });
      expect(result).toMatchObject({
        outcome: 'released',
        record: { stride: null, failCount: 0 },
        refusal: { class: 'network' },
      });
    }
    await away.destroy();
  });

  test('that an error of the program stops is a failure too', async () => {
    await mirrored('anna');
    addGroup('anna', 'b', []);
    const queue = () => {
      throw new TypeError('a fault of ours');
    };
    let calls = 0;
    const result = await world.poll('anna', {
      policy: {
        queue: () => {
          calls += 1;
          return calls === 1 ? queue() : world.deps.policy.queue();
        },
      },
    });
    expect(result).toMatchObject({ outcome: 'storage_failed', refusal: { class: 'program' } });
  });
});
