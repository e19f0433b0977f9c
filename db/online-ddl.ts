import { setTimeout as sleep } from 'node:timers/promises';
import { type RawBuilder, sql } from 'kysely';
import type { Database, Transaction } from './client.ts';
import type { DB } from './schema.ts';
import { codeOf } from './storage-errors.ts';

/** Takes a sentence about what a long migration does or waits for. */
export type Say = (sentence: string) => void;

/** A statement that waits for a lock makes later readers wait behind it, so it waits this long at most. */
const lockTimeoutMs = 200;
/** Between two tries readers and writers have the table to themselves. */
const pauseMs = 1000;
const triesBeforeSaying = 10;
/** A build that takes longer says so. */
const timeoutMs = 2000;

/** `lock_not_available`, and the deadlock that Postgres ends by refusing one of two statements. */
const lockStates: ReadonlySet<string> = new Set(['55P03', '40P01']);

/**
 * Carries out `alter` in a transaction whose locks are waited for 200 ms at most. Tries again each second until it has
 * them, however long readers hold the table.
 */
export async function alterShortly(
  connection: Database,
  table: string,
  say: Say,
  alter: (trx: Transaction<DB>) => Promise<void>,
): Promise<void> {
  await untilUnlocked(connection, table, say, () =>
    connection.transaction().execute(async (trx) => {
      await sql`select set_config('lock_timeout', ${`${lockTimeoutMs}ms`}, true)`.execute(trx);
      await alter(trx);
    }),
  );
}

/** An index to be built beside readers and writers, and what it is built on. */
interface IndexToBuild {
  readonly name: string;
  readonly table: string;
  readonly unique: boolean;
  readonly columns: readonly string[];
}

/**
 * Builds an index of schema mirror without keeping a reader or a writer waiting. It waits for every transaction that is
 * older than the build. What an earlier build left half done is dropped first; a valid index stays.
 */
export async function buildIndex(connection: Database, index: IndexToBuild, say: Say): Promise<void> {
  const { name, table, unique, columns } = index;
  await untilUnlocked(connection, table, say, async () => {
    const found = await isIndexValid(connection, name);
    if (found === true) return;
    if (found === false)
      await withoutTimeouts(connection, sql`drop index concurrently if exists ${sql.id('mirror', name)}`);
    const kind = sql.raw(unique ? 'unique index' : 'index');
    const build = sql`
      create ${kind} concurrently ${sql.id(name)} on ${sql.id('mirror', table)}
        (${sql.join(columns.map((column) => sql.id(column)))})
    `;
    const timeout = setTimeout(
      () => say(`builds index ${name}, and waits for all transactions that are older`),
      timeoutMs,
    );
    await withoutTimeouts(connection, build).finally(() => clearTimeout(timeout));
  });
}

/** Drops an index of schema mirror without keeping a reader or a writer waiting. One that is not there is no error. */
export async function dropIndexOnline(
  connection: Database,
  { name, table }: Pick<IndexToBuild, 'name' | 'table'>,
  say: Say,
): Promise<void> {
  await untilUnlocked(connection, table, say, async () => {
    if ((await isIndexValid(connection, name)) === undefined) return;
    await withoutTimeouts(connection, sql`drop index concurrently if exists ${sql.id('mirror', name)}`);
  });
}

/** Whether an index of schema mirror can be used; undefined when it is not there. */
export async function isIndexValid(connection: Database, name: string): Promise<boolean | undefined> {
  const { rows } = await sql<{ valid: boolean }>`
    select indisvalid as valid from pg_index where indexrelid = to_regclass(${`mirror.${name}`})
  `.execute(connection);
  return rows[0]?.valid;
}

/** Tries again while locks are not to be had, and says now and then who holds the table. */
async function untilUnlocked(
  connection: Database,
  table: string,
  say: Say,
  act: () => Promise<void>,
): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await act();
      return;
    } catch (error) {
      if (!lockStates.has(codeOf(error))) throw error;
    }
    if (tries % triesBeforeSaying === 0)
      say(`waits for ${table}, which these hold: ${await readHolders(connection, table)}`);
    await sleep(pauseMs);
  }
}

async function readHolders(connection: Database, table: string): Promise<string> {
  const { rows } = await sql<{ holder: string }>`
    select distinct format('process %s (%s, since %s)', pid, application_name, xact_start) as holder
    from pg_locks join pg_stat_activity using (pid)
    where relation = to_regclass(${`mirror.${table}`}) and pid <> pg_backend_pid()
    limit 5
  `.execute(connection);
  return rows.map(({ holder }) => holder).join(', ') || 'no session any more';
}

/**
 * Runs a statement that no transaction may hold. It takes as long as the table is large, so timeouts that the role or
 * the database sets are off meanwhile; where none is set, the session is left alone, for a pooler may hand it to others.
 */
async function withoutTimeouts(connection: Database, statement: RawBuilder<unknown>): Promise<void> {
  // Postgres 15 and 16 know no transaction_timeout.
  const { rows } = await sql<{ name: string }>`
    select name from pg_settings where name in ('lock_timeout', 'statement_timeout', 'transaction_timeout') and setting <> '0'
  `.execute(connection);
  for (const { name } of rows) await sql`select set_config(${name}, '0', false)`.execute(connection);
  try {
    await statement.execute(connection);
  } finally {
    for (const { name } of rows) await sql`reset ${sql.id(name)}`.execute(connection);
  }
}
