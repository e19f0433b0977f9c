import { sql } from 'kysely';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  dropChangePartition,
  ensureChangePartitions,
  findOldChangePartitions,
} from '../../db/queries/history.ts';
import { silentLogger } from '../../src/log.ts';
import { maintain } from '../../workers/maintenance-worker.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { waitFor } from '../support/wait-for.ts';

const dayMs = 86_400_000;
const retentionDays = 30;

let database: TestDatabase;
let reader: pg.Client;

/** Two months that are old, each with a change, beside one of now; and somebody who has begun to read. */
beforeEach(async () => {
  database = await createTestDatabase();
  await run(`
    insert into mirror.app (app_id) values (1);
    insert into mirror.account (app_id, account_id) values (1, 'alice');
    create table mirror.change_2020_01 partition of mirror.change for values from ('2020-01-01Z') to ('2020-02-01Z');
    create table mirror.change_2020_02 partition of mirror.change for values from ('2020-02-01Z') to ('2020-03-01Z');
    insert into mirror.change (app_id, account_key, kind, group_name, observed_at)
    select 1, account_key, 'group_added', 'a', at
    from mirror.account, unnest(array['2020-01-15', '2020-02-15', now()]::timestamptz[]) at;
  `);
  reader = await connectClient();
  await reader.query('begin isolation level repeatable read');
  expect(await count(reader)).toBe(3);
});

afterEach(async () => {
  await reader.end();
  await database[Symbol.asyncDispose]();
});

async function connectClient(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: database.url });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

const run = (text: string) => sql.raw(text).execute(database.db);
const months = async () =>
  (await findOldChangePartitions(database.db, retentionDays)).map(({ name }) => name);
const states = async () =>
  (await findOldChangePartitions(database.db, retentionDays)).map(({ state }) => state);

async function count(client: pg.Client): Promise<number> {
  const { rows } = await client.query('select count(*)::integer as count from tim.changes');
  return rows[0].count;
}

/** A new reader and a writer, neither of whom may be kept waiting. */
async function expectNobodyWaits(): Promise<void> {
  const client = await connectClient();
  try {
    await client.query("set statement_timeout = '5s'; set lock_timeout = '1s'");
    await count(client);
    await client.query(`
      begin;
      insert into mirror.change (app_id, account_key, kind, group_name, observed_at) values (1, 1, 'group_added', 'b', now());
      rollback
    `);
  } finally {
    await client.end();
  }
}

async function oldest() {
  const [first] = await findOldChangePartitions(database.db, retentionDays);
  if (first === undefined) throw new Error('no month is old');
  return first;
}

/** Begins to drop the oldest month, and returns once that waits for the reader. */
async function dropAndWait(
  waitMs: number,
): Promise<{ readonly pid: number; readonly dropped: Promise<boolean> }> {
  const dropped = dropChangePartition(database.db, await oldest(), waitMs);
  dropped.catch(() => undefined);
  const pid = await waitFor('the detach to wait', async () => {
    const { rows } = await sql<{ pid: number }>`
      select pid from pg_stat_activity where query like 'alter table mirror.change detach%' and wait_event_type = 'Lock'
    `.execute(database.db);
    return rows[0]?.pid;
  });
  return { pid, dropped };
}

const round = () =>
  maintain({
    direct: database.db,
    db: database.db,
    log: silentLogger(),
    lanes: [],
    historyRetentionMs: retentionDays * dayMs,
    readerWaitMs: 200,
  });

describe('while somebody reads the change feed in a long transaction', () => {
  test('months are made ahead, and nobody waits, not even before that is committed', async () => {
    await database.db.transaction().execute(async (trx) => {
      await sql`set local lock_timeout = '2s'`.execute(trx);
      await sql`lock table only mirror.change in share update exclusive mode`.execute(trx);
      await sql`select mirror.ensure_change_partitions(6)`.execute(trx);
      await expectNobodyWaits();
    });
    expect(await ensureChangePartitions(database.db, 7)).toBe(1);
    await expectNobodyWaits();
    expect(await count(reader)).toBe(3);
    await reader.query('commit');
    const { rows } = await sql<{ indexes: number }>`
      select count(*) as indexes from pg_inherits join pg_index on indrelid = inhrelid
      where inhparent = 'mirror.change'::regclass group by inhrelid
    `.execute(database.db);
    expect(new Set(rows.map(({ indexes }) => indexes))).toEqual(new Set([3]));
  });

  test('old months go as soon as the reader has ended, and meanwhile nobody waits', async () => {
    await round();
    expect(await states()).toEqual(['detaching', 'attached']);
    expect(await count(reader)).toBe(3);
    await expectNobodyWaits();
    await round();
    expect(await states()).toEqual(['detaching', 'attached']);
    expect(await count(reader)).toBe(3);

    const { dropped } = await dropAndWait(60_000);
    await expectNobodyWaits();
    // Months made ahead wait for it, no longer than it waits for readers.
    const made = ensureChangePartitions(database.db, 8);
    await expectNobodyWaits();
    expect(await count(reader)).toBe(3);
    await reader.query('commit');
    expect(await dropped).toBe(true);
    expect(await made).toBe(5);
    await round();
    expect(await months()).toEqual([]);
    expect(await count(reader)).toBe(1);
  });

  test('a detach that was killed is finished, and what nobody dropped is dropped', async () => {
    const { pid, dropped } = await dropAndWait(60_000);
    await run(`select pg_terminate_backend(${pid})`);
    await expect(dropped).rejects.toThrow();
    expect(await states()).toEqual(['detaching', 'attached']);
    await expectNobodyWaits();
    expect(await ensureChangePartitions(database.db, 4)).toBe(1);
    expect(await count(reader)).toBe(3);
    await reader.query('commit');
    await run('alter table mirror.change detach partition mirror.change_2020_01 finalize');
    await run('alter table mirror.change detach partition mirror.change_2020_02 concurrently');
    expect(await states()).toEqual(['detached', 'detached']);
    await round();
    expect(await months()).toEqual([]);
  });
});

test('a connection that waited for readers in vain waits for locks as before', async () => {
  expect(await dropChangePartition(database.db, await oldest(), 100)).toBe(false);
  const { rows } = await sql<{ lock_timeout: string }>`show lock_timeout`.execute(database.db);
  expect(rows[0]?.lock_timeout).toBe('0');
});
