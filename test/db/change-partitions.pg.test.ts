import { sql } from 'kysely';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  countMissingMonths,
  dropChangePartition,
  ensureChangePartitions,
  findOldChangePartitions,
  type OldChangePartition,
  readMonthsProblem,
} from '../../db/queries/history.ts';
import { silentLogger } from '../../src/log.ts';
import { StartError } from '../../src/start-error.ts';
import { readStatus } from '../../src/status/read-status.ts';
import { maintain } from '../../workers/maintenance-worker.ts';
import { prepareDatabase } from '../../workers/prepare-database.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { waitFor } from '../support/wait-for.ts';

const dayMs = 86_400_000;
const retentionDays = 30;
const poll = { minIntervalMs: 1000, maxIntervalMs: 2000, fullReadIntervalMs: 3000 };

let database: TestDatabase;
let reader: pg.Client;

/** Two months that are old, each with a change, beside one of now; and a consumer that has begun to read. */
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
  month?: OldChangePartition,
): Promise<{ readonly pid: number; readonly dropped: Promise<boolean> }> {
  const dropped = dropChangePartition(database.db, month ?? (await oldest()), waitMs);
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
    runners: [],
    historyRetentionMs: retentionDays * dayMs,
    readerWaitMs: 200,
  });

describe('while a consumer reads the change feed in a long transaction', () => {
  test('months are made ahead, and no session waits, not even before that is committed', async () => {
    await database.db.transaction().execute(async (trx) => {
      await sql`set local lock_timeout = '2s'`.execute(trx);
      await sql`lock table only mirror.change in share update exclusive mode`.execute(trx);
      await sql`select mirror.ensure_change_partitions(6)`.execute(trx);
      await expectNobodyWaits();
    });
    expect((await ensureChangePartitions(database.db, 7)).made).toBe(1);
    await expectNobodyWaits();
    expect(await count(reader)).toBe(3);
    await reader.query('commit');
    const { rows } = await sql<{ indexes: number }>`
      select count(*) as indexes from pg_inherits join pg_index on indrelid = inhrelid
      where inhparent = 'mirror.change'::regclass group by inhrelid
    `.execute(database.db);
    expect(new Set(rows.map(({ indexes }) => indexes))).toEqual(new Set([3]));
  });

  test('old months go as soon as the reader has ended, and meanwhile no session waits', async () => {
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
    const months8 = ensureChangePartitions(database.db, 8);
    await expectNobodyWaits();
    expect(await count(reader)).toBe(3);
    await reader.query('commit');
    expect(await dropped).toBe(true);
    expect((await months8).made).toBe(5);
    await round();
    expect(await months()).toEqual([]);
    expect(await count(reader)).toBe(1);
  });

  test('a detach that was killed is finished, and what was not dropped is dropped', async () => {
    const { pid, dropped } = await dropAndWait(60_000);
    await run(`select pg_terminate_backend(${pid})`);
    await expect(dropped).rejects.toThrow();
    expect(await states()).toEqual(['detaching', 'attached']);
    await expectNobodyWaits();
    expect((await ensureChangePartitions(database.db, 4)).made).toBe(1);
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

describe('months of the change feed', () => {
  const thisMonth = sql<string>`to_char(now() at time zone 'utc', '"change_"YYYY_MM')`;
  const nextMonth = sql<string>`to_char((now() at time zone 'utc') + interval '1 month', '"change_"YYYY_MM')`;

  beforeEach(async () => {
    await reader.query('commit');
  });

  async function nameOf(month: typeof thisMonth): Promise<string> {
    const { rows } = await sql<{ name: string }>`select ${month} as name`.execute(database.db);
    return rows[0]?.name ?? '';
  }

  /** The parts that months from this one on are made of, as the bounds of attached partitions. */
  async function parts(): Promise<readonly { name: string; begins: string; ends: string }[]> {
    const { rows } = await sql<{ name: string; begins: string; ends: string }>`
      select relname as name, begins::text, ends::text
      from mirror.change_partitions() join pg_class on pg_class.oid = partition
      where not detaching and ends > now() order by begins
    `.execute(database.db);
    return rows;
  }

  const writeNow = () =>
    run(`
      insert into mirror.change (app_id, account_key, kind, group_name, observed_at)
      select 1, account_key, 'group_added', 'again', now() from mirror.account
    `);

  test('that are there and detached are attached, with what they hold', async () => {
    const name = await nameOf(thisMonth);
    await run(`alter table mirror.change detach partition mirror.${name}`);
    await expect(writeNow()).rejects.toThrow(/no partition/);
    expect(await ensureChangePartitions(database.db, 3)).toEqual({ made: 1, problems: [] });
    await writeNow();
    expect(await count(reader)).toBe(4);
  });

  test('whose detach was aborted half way are attached again', async () => {
    const name = await nameOf(thisMonth);
    await reader.query('begin isolation level repeatable read; select from tim.changes');
    const { pid, dropped } = await dropAndWait(60_000, { name, state: 'attached' });
    await run(`select pg_terminate_backend(${pid})`);
    await expect(dropped).rejects.toThrow();
    await expect(writeNow()).rejects.toThrow(/no partition/);
    // As long as a transaction lasts that saw it attached, it can be neither detached nor attached.
    const waiting = await ensureChangePartitions(database.db, 3);
    expect(waiting.problems).toMatchObject([{ present: true }]);
    expect(waiting.problems[0]?.sentence).toMatch(
      new RegExp(`mirror.${name} .*waits for those who read it\\); end their transactions`),
    );
    await expectReadersDoNotWait();
    await reader.query('commit');
    expect(await ensureChangePartitions(database.db, 3)).toEqual({ made: 1, problems: [] });
    await writeNow();
    expect(await count(reader)).toBe(4);
  });

  test('that can’t be attached are reported with the table and the reason, until they can', async () => {
    const name = await nameOf(nextMonth);
    await run(`
      alter table mirror.change detach partition mirror.${name};
      insert into mirror.${name} (app_id, account_key, kind, group_name, observed_at)
      values (1, 1, 'group_added', 'c', '2020-01-01')
    `);
    const first = await ensureChangePartitions(database.db, 3);
    expect(first).toMatchObject({ made: 0, problems: [{ present: false }] });
    expect(first.problems[0]?.sentence).toMatch(
      new RegExp(
        `^Changes from .* to .* can’t be written, because table mirror.${name} is no part of .*violated`,
      ),
    );
    expect(await readMonthsProblem(database.db)).toBe(first.problems[0]?.sentence);
    expect(await countMissingMonths(database.db, 3)).toBe(1);
    expect((await readStatus(database.db)).apps[0]?.problems).toContain(first.problems[0]?.sentence);
    await run(`alter table mirror.${name} rename to set_aside`);
    expect(await ensureChangePartitions(database.db, 3)).toEqual({ made: 1, problems: [] });
    expect(await readMonthsProblem(database.db)).toBeNull();
    expect(await countMissingMonths(database.db, 3)).toBe(0);
  });

  test('whose rows are in a default partition are reported with what to do', async () => {
    const { rows } = await sql<{ name: string; at: Date }>`
      select partition::text as name, begins as at from mirror.change_partitions() order by begins desc limit 1
    `.execute(database.db);
    const [last] = rows;
    await sql
      .raw(`alter table mirror.change detach partition ${last?.name}; drop table ${last?.name}`)
      .execute(database.db);
    await sql`create table mirror.rest partition of mirror.change default`.execute(database.db);
    await sql`
      insert into mirror.change (app_id, account_key, kind, group_name, observed_at)
      values (1, 1, 'group_added', 'a', ${last?.at}::timestamptz + interval '1 day')
    `.execute(database.db);
    const { made, problems } = await ensureChangePartitions(database.db, 3);
    expect({ made, problems }).toMatchObject({ made: 0, problems: [{ present: false }] });
    expect(problems[0]?.sentence).toMatch(
      /default partition "rest".*move those rows away, or detach that partition/,
    );
    await sql.raw('alter table mirror.change detach partition mirror.rest').execute(database.db);
    expect(await ensureChangePartitions(database.db, 3)).toEqual({ made: 1, problems: [] });
  });

  test('whose table has other columns are reported, also by a start', async () => {
    const name = await nameOf(thisMonth);
    await run(`
      alter table mirror.change detach partition mirror.${name};
      alter table mirror.${name} add column note text
    `);
    const starting = prepareDatabase(database.db, database.url, [], poll, silentLogger());
    await expect(starting).rejects.toThrow(StartError);
    await expect(starting).rejects.toThrow(new RegExp(`mirror.${name} .*column "note"`));
    await run(`alter table mirror.${name} drop column note`);
    await prepareDatabase(database.db, database.url, [], poll, silentLogger());
    await writeNow();
  });

  test('begin where the last one ends, where an older release made bounds 14 hours late', async () => {
    const made = await parts();
    for (const { name } of made) await run(`drop table mirror.${name}`);
    // As that release did in a session with DateStyle `SQL, DMY` and a Chinese time zone.
    for (const { name, begins, ends } of made.slice(0, 2))
      await run(`
        create table mirror.${name} partition of mirror.change
        for values from (timestamptz '${begins}' + interval '14 hours') to (timestamptz '${ends}' + interval '14 hours')
      `);
    expect((await ensureChangePartitions(database.db, 3)).problems).toEqual([]);
    const now = await parts();
    expect(now.at(-1)?.ends).toBe(made.at(-1)?.ends);
    for (const [index, { begins }] of now.entries()) if (index > 0) expect(begins).toBe(now[index - 1]?.ends);
    await writeNow();
  });

  test('are the same whatever date style and time zone a session has', async () => {
    const made = await parts();
    for (const { name } of made) await run(`drop table mirror.${name}`);
    const client = await connectClient();
    await client.query("set datestyle = 'SQL, DMY'; set timezone = 'Asia/Shanghai'");
    await client.query('select mirror.ensure_change_partitions(3)');
    const { rows } = await client.query('select * from mirror.missing_change_months(3)');
    expect(rows).toEqual([]);
    await client.end();
    expect(await parts()).toEqual(made);
  });

  /** A new reader of what can be read; the month whose detach is pending is not among it. */
  async function expectReadersDoNotWait(): Promise<void> {
    const client = await connectClient();
    await client.query("set statement_timeout = '5s'; set lock_timeout = '1s'");
    await count(client);
    await client.end();
  }
});
