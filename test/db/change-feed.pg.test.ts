import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect, type Database } from '../../db/client.ts';
import { type ChangeLine, findFeedStart, readFeed } from '../../db/queries/changes.ts';
import { continueFeed, describeJump } from '../../db/queries/feed.ts';
import { insertChanges } from '../../db/queries/groups.ts';
import { createLogger } from '../../src/log.ts';
import { createScrubber } from '../../src/scrubber.ts';
import { createRandom, type Random } from '../../src/simulator/random.ts';
import { maintain } from '../../workers/maintenance-worker.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { labelledSql, readDocument } from '../support/documents.ts';
import { runs } from '../support/effort.ts';
import { waitFor } from '../support/wait-for.ts';
import { testSeed } from '../support/world.ts';

const appId = 1;
const writers = 4;
const transactionsEach = runs(60);

let database: TestDatabase;
let consumerDb: Database;
let random: Random;

beforeAll(async () => {
  database = await createTestDatabase();
  consumerDb = connect({ url: database.url, applicationName: 'consumer', onIdleError: () => undefined });
  random = createRandom(testSeed());
  await sql
    .raw(`
      insert into mirror.app (app_id) values (${appId});
      insert into mirror.account (app_id, account_id)
      select ${appId}, 'writer-' || number from generate_series(1, ${writers}) number
    `)
    .execute(database.db);
});

afterAll(async () => {
  await consumerDb?.destroy();
  await database?.[Symbol.asyncDispose]();
});

/** Says something in the feed about an account, in the transaction at hand. */
const report = (
  trx: Parameters<typeof insertChanges>[0],
  accountKey: number,
  groupNames: readonly string[],
) =>
  insertChanges(
    trx,
    { appId, accountKey, sequence: null, at: Date.now() },
    groupNames.map((groupName) => ({ kind: 'group_added', groupName, friendId: null })),
  );

/** Transactions of one to five lines that take their time, so that they end in another order; some in vain. */
async function write(writer: number): Promise<readonly string[]> {
  const vain = new Error('in vain');
  const written: string[] = [];
  for (let turn = 0; turn < transactionsEach; turn += 1) {
    const lines = Array.from({ length: 1 + random.below(5) }, (_, index) => `${writer} ${turn} ${index}`);
    await database.db
      .transaction()
      .execute(async (trx) => {
        for (const line of lines) {
          await report(trx, writer, [line]);
          if (random.next() < 0.3) await sleep(random.below(8));
        }
        if (random.next() < 0.1) throw vain;
      })
      .then(
        () => written.push(...lines),
        (error: unknown) => expect(error).toBe(vain),
      );
  }
  return written;
}

/** Reads on and on as one of the two ways has it, until everything was done before a look that finds nothing more. */
async function consume(
  next: (after: { txId: string; changeId: number }) => Promise<readonly ChangeLine[]>,
  done: () => Promise<boolean>,
): Promise<readonly string[]> {
  const seen: string[] = [];
  let after = { txId: '0', changeId: 0 };
  for (;;) {
    const over = await done();
    const lines = await next(after);
    seen.push(...lines.map((line) => line.groupName));
    const last = lines.at(-1);
    if (last !== undefined) after = { txId: last.txId, changeId: last.changeId };
    else if (over) return seen;
    else await sleep(5);
  }
}

/** Whether all transactions of the server up to this one are over; other databases' hold the feed's end back too. */
async function areOver(upTo: string): Promise<boolean> {
  const { rows } = await sql<{ over: boolean }>`
    select pg_snapshot_xmin(pg_current_snapshot()) > ${upTo}::xid8 as over
  `.execute(consumerDb);
  return rows[0]?.over ?? false;
}

/** As docs/analysts.md has it, with smaller pages. */
async function readAsDocumented(after: { txId: string; changeId: number }): Promise<readonly ChangeLine[]> {
  const text = labelledSql(readDocument('docs/analysts.md'), 'feed');
  const [before, between, ...rest] = text.replace('limit 1000', 'limit 7').split(/\$[12](?=::)/);
  const query = sql<{ tx_id: string; change_id: number; group_name: string }>`
    ${sql.raw(before ?? '')}${after.txId}${sql.raw(between ?? '')}${after.changeId}${sql.raw(rest.join(''))}
  `;
  const { rows } = await query.execute(consumerDb);
  return rows.map((row) => ({
    txId: row.tx_id,
    changeId: row.change_id,
    groupName: row.group_name,
    ...{ accountId: '', kind: '', friendId: null, observedAt: new Date(), oldGroupName: null },
  }));
}

describe('a consumer that reads while four writers commit out of order', () => {
  test('misses nothing and sees nothing twice, by the documented query and by that of the command line', async () => {
    let last: string | undefined;
    const done = async () => last !== undefined && (await areOver(last));
    const consumers = [
      consume(readAsDocumented, done),
      consume(
        (after) => readFeed(consumerDb, { appId, accountId: undefined }, { after, limit: 5, finished: true }),
        done,
      ),
    ];
    const written = (
      await Promise.all(Array.from({ length: writers }, (_, index) => write(index + 1)))
    ).flat();
    const { rows } = await sql<{ last: string }>`select pg_current_xact_id()::text as last`.execute(
      database.db,
    );
    last = rows[0]?.last ?? '0';
    for (const seen of await Promise.all(consumers)) {
      expect(seen.length).toBe(written.length);
      expect(seen.toSorted()).toEqual(written.toSorted());
      // Within an account in the order in which it was written.
      for (const [index] of Array.from({ length: writers }).entries()) {
        const mine = (line: string) => line.startsWith(`${index + 1} `);
        expect(seen.filter(mine)).toEqual(written.filter(mine));
      }
    }
  });

  test('waits for a transaction that began first and ends last, and then sees it', async () => {
    const filter = { appId, accountId: undefined };
    const after = await findFeedStart(consumerDb, filter, 0);
    const read = async (finished: boolean) =>
      (await readFeed(consumerDb, filter, { after, limit: 10, finished })).map((line) => line.groupName);
    await database.db.transaction().execute(async (first) => {
      await report(first, 1, ['first']);
      await database.db.transaction().execute((second) => report(second, 2, ['second']));
      expect(await read(true)).toEqual([]);
      expect(await read(false)).toEqual(['second']);
    });
    expect(await read(false)).toEqual(['first', 'second']);
    for (let tries = 0; tries < 200 && (await read(true)).length < 2; tries += 1) await sleep(50);
    expect(await read(true)).toEqual(['first', 'second']);
  });

  test('a consumer that begins after some recent change gets those of transactions that had begun before it', async () => {
    const filter = { appId, accountId: undefined };
    await database.db.transaction().execute(async (first) => {
      await report(first, 1, ['early']);
      const { rows } = await sql<{ id: string }>`select pg_current_xact_id()::text as id`.execute(first);
      await database.db.transaction().execute((second) => report(second, 2, ['recent']));
      const start = await findFeedStart(consumerDb, filter, 1);
      expect(BigInt(start.txId)).toBeLessThanOrEqual(BigInt(rows[0]?.id ?? '0'));
    });
  });

  test('a consumer that begins now gets nothing older, though a transaction that began before is under way', async () => {
    const filter = { appId, accountId: undefined };
    await database.db.transaction().execute(async (first) => {
      // Its id holds the end of the feed back.
      await report(first, 1, ['later']);
      await database.db.transaction().execute((second) => report(second, 2, ['older']));
      const start = await findFeedStart(consumerDb, filter, 0);
      const read = async () =>
        (await readFeed(consumerDb, filter, { start, after: start, limit: 10, finished: false })).map(
          (line) => line.groupName,
        );
      expect(await read()).toEqual([]);
      await database.db.transaction().execute((second) => report(second, 2, ['newer']));
      expect(await read()).toEqual(['newer']);
    });
  });
});

describe('a feed whose lines another server has numbered', () => {
  const filter = { appId, accountId: undefined };
  const namesOf = (lines: readonly ChangeLine[]) => lines.map((line) => line.groupName);

  async function newest(): Promise<{ txId: string; changeId: number }> {
    const { rows } = await sql<{ txId: string; changeId: number }>`
      select tx_id::text as "txId", change_id as "changeId" from tim.changes
      order by tx_id desc, change_id desc limit 1
    `.execute(consumerDb);
    return rows[0] ?? { txId: '0', changeId: 0 };
  }

  /** Numbers all lines as a server would that is a million transactions ahead. */
  const renumber = () =>
    sql`
      update mirror.change set tx_id = (tx_id::text::bigint + pg_current_xact_id()::text::bigint + 1000000)::text::xid8
    `.execute(database.db);

  test('goes on beyond their numbers, once, however many daemons start', async () => {
    expect(await continueFeed(database.db)).toBeUndefined();
    await renumber();
    const place = await newest();
    const jumps = await Promise.all(Array.from({ length: 4 }, () => continueFeed(database.db)));
    const [jump, ...others] = jumps.filter((each) => each !== undefined);
    expect(others).toEqual([]);
    expect(jump).toEqual({ from: place.txId, to: String(2 ** 40) });
    expect(jump && describeJump(jump)).toMatch(
      /go on from 1099511627776, because its last line has number \d+/,
    );

    await database.db.transaction().execute(async (trx) => {
      await report(trx, 1, ['one']);
      await report(trx, 1, ['two']);
    });
    const read = () => readFeed(consumerDb, filter, { after: place, limit: 10, finished: true });
    await waitFor('the lines to be readable', async () => (await read()).length >= 2);
    expect(namesOf(await read())).toEqual(['one', 'two']);
    expect(namesOf(await readAsDocumented(place))).toEqual(['one', 'two']);
    expect(await continueFeed(database.db)).toBeUndefined();
  });

  test('holds back what is still under way, and begins where a reader wants it to', async () => {
    const place = await newest();
    await database.db.transaction().execute(async (first) => {
      await report(first, 1, ['first']);
      await database.db.transaction().execute((second) => report(second, 2, ['second']));
      expect(await readAsDocumented(place)).toEqual([]);
      const start = await findFeedStart(consumerDb, filter, 0);
      const page = { start, after: start, limit: 10, finished: false };
      expect(await readFeed(consumerDb, filter, page)).toEqual([]);
      await database.db.transaction().execute((second) => report(second, 2, ['third']));
      expect(namesOf(await readFeed(consumerDb, filter, page))).toEqual(['third']);
    });
    const all = await findFeedStart(consumerDb, filter, 3600);
    expect((await readFeed(consumerDb, filter, { after: all, limit: 10, finished: false })).length).toBe(10);
  });

  test('waits for writers, and a transaction that began before the jump has numbers beyond it', async () => {
    const before = await newest();
    const jumped = await database.db.transaction().execute(async (early) => {
      // It has its number, and no line yet.
      await sql`select pg_current_xact_id()`.execute(early);
      await renumber();
      const jump = await continueFeed(database.db);
      await report(early, 1, ['early']);
      return jump;
    });
    const place = await newest();
    expect(BigInt(place.txId)).toBeGreaterThanOrEqual(BigInt(jumped?.to ?? 'none'));
    expect(BigInt(place.txId)).toBeGreaterThan(BigInt(before.txId));

    let over = false;
    const jumping = database.db.transaction().execute(async (writer) => {
      await report(writer, 1, ['held']);
      await renumber();
      const started = continueFeed(consumerDb).then((jump) => {
        over = true;
        return jump;
      });
      await waitFor('the jump to wait for the writer', async () => {
        const { rows } = await sql`
          select from pg_stat_activity
          where datname = current_database() and query like 'lock table only mirror.change%' and wait_event_type = 'Lock'
        `.execute(database.db);
        return rows.length > 0;
      });
      expect(over).toBe(false);
      return { started };
    });
    // The writer ends, and only then the jump.
    const { started } = await jumping;
    expect(await started).toBeDefined();
  });

  test('goes on too where the database is exchanged under a running daemon', async () => {
    await database.db.transaction().execute((trx) => report(trx, 1, ['last of the other server']));
    await renumber();
    const lines: string[] = [];
    const log = createLogger({
      level: 'warn',
      scrubber: createScrubber(),
      destination: { write: (line) => void lines.push(line) },
    });
    const { db } = database;
    const round = () => maintain({ db, direct: db, log, runners: [], historyRetentionMs: undefined });
    await round();
    await round();
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('The change feed’s numbers go on from');
  });

  test('jumps when an operator says that commits were lost', async () => {
    const place = await newest();
    const jump = await continueFeed(database.db, { always: true });
    expect(jump?.from).toBeNull();
    expect(BigInt(jump?.to ?? 0)).toBeGreaterThan(BigInt(place.txId));
    expect(BigInt(jump?.to ?? 0) % 2n ** 40n).toBe(0n);
  });
});
