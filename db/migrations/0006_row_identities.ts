// Every table that is updated or deleted from gets an identity, so that a publication for all tables refuses nothing.
// It runs beside daemons and analysts: indexes are built concurrently, and every other lock is held for milliseconds.
import { sql } from 'kysely';
import type { Database, Transaction } from '../client.ts';
import { alterShortly, buildIndex, dropIndexOnline, isIndexValid, type Say } from '../online-ddl.ts';
import type { DB } from '../schema.ts';
import { codeOf } from '../storage-errors.ts';

const memberTable = 'friend_group_member';
const memberKey = ['group_key', 'friend_id', 'added_at'];
const changeKey = ['tx_id', 'change_id', 'observed_at'];
/** Until it takes the name of the index that it replaces. */
const newFeedIndex = 'change_identity';

/** Gives members a primary key and the feed's partitions a replica identity. Carried out again, it goes on where it was. */
export async function giveRowsIdentities(connection: Database, say: Say): Promise<void> {
  await keyMembers(connection, say);
  await identifyChanges(connection, say);
}

async function keyMembers(connection: Database, say: Say): Promise<void> {
  const partitioned = await isPartitioned(connection, memberTable);
  do {
    for (const leaf of await leavesWithoutKey(connection)) await keyLeaf(connection, leaf, say);
  } while (partitioned && !(await keyParent(connection, say)));
  for (const name of ['friend_group_member_current', 'friend_group_member_group']) {
    if (!partitioned) await dropIndexOnline(connection, { name, table: memberTable }, say);
    // An index of a partitioned table can't be dropped concurrently.
    else if ((await isIndexValid(connection, name)) !== undefined)
      await alterShortly(connection, memberTable, say, async (trx) => {
        await sql`drop index ${sql.id('mirror', name)}`.execute(trx);
      });
  }
}

async function isPartitioned(connection: Database, table: string): Promise<boolean> {
  const { rows } = await sql`
    select from pg_class where oid = ${`mirror.${table}`}::regclass and relkind = 'p'
  `.execute(connection);
  return rows.length > 0;
}

/** The member table, or its partitions where an operator has partitioned it, as far as they have no primary key. */
async function leavesWithoutKey(connection: Database | Transaction<DB>): Promise<readonly string[]> {
  const { rows } = await sql<{ name: string }>`
    select relname as name from pg_class
    where relkind = 'r'
      and (
        oid = ${`mirror.${memberTable}`}::regclass
        or oid in (select inhrelid from pg_inherits where inhparent = ${`mirror.${memberTable}`}::regclass)
      )
      and not exists (select from pg_constraint where conrelid = pg_class.oid and contype = 'p')
    order by 1
  `.execute(connection);
  return rows.map(({ name }) => name);
}

async function keyLeaf(connection: Database, leaf: string, say: Say): Promise<void> {
  const name = `${leaf}_pkey`;
  for (;;) {
    try {
      await buildIndex(connection, { name, table: leaf, unique: true, columns: memberKey }, say);
      break;
    } catch (error) {
      if (codeOf(error) !== '23505') throw error;
    }
    await separateTwins(connection, leaf, say);
  }
  await alterShortly(connection, leaf, say, async (trx) => {
    await sql`
      alter table ${sql.id('mirror', leaf)}
        add constraint ${sql.id(name)} primary key using index ${sql.id(name)},
        replica identity default
    `.execute(trx);
  });
}

/**
 * A member that ended and came back at one moment of a coarse clock has two lives with one beginning. A life without
 * length was never shown by any view at any moment, so it goes; any other begins a microsecond later. Lives that have
 * ended are written by nobody else.
 */
async function separateTwins(connection: Database, leaf: string, say: Say): Promise<void> {
  say(`finds lives in ${leaf} that began at the same moment, and separates them`);
  const table = sql.id('mirror', leaf);
  await alterShortly(connection, leaf, say, async (trx) => {
    // A publication may be there already.
    await sql`alter table ${table} replica identity full`.execute(trx);
  });
  const later = sql`
    select ctid as place, nth from (
      select ctid, removed_at, row_number() over (
        partition by group_key, friend_id, added_at order by removed_at desc nulls first, ctid
      ) - 1 as nth
      from ${table}
    ) numbered
    where nth > 0
  `;
  await sql`
    delete from ${table} member using (${later}) later
    where member.ctid = later.place and member.removed_at = member.added_at
  `.execute(connection);
  await sql`
    update ${table} member
    set added_at = least(member.removed_at, member.added_at + later.nth * interval '1 microsecond')
    from (${later}) later
    where member.ctid = later.place
  `.execute(connection);
}

/** Gives the partitioned table the key of its partitions. False when a partition without one has come meanwhile. */
async function keyParent(connection: Database, say: Say): Promise<boolean> {
  let done = false;
  await alterShortly(connection, memberTable, say, async (trx) => {
    await sql`lock table only mirror.friend_group_member in access exclusive mode`.execute(trx);
    done = (await leavesWithoutKey(trx)).length === 0;
    if (!done) return;
    const { rows } = await sql<{ index: string; attached: boolean }>`
      select conindid::regclass::text as index, parent.inhparent is not null as attached
      from pg_inherits
      join pg_constraint on conrelid = inhrelid and contype = 'p'
      left join pg_inherits parent on parent.inhrelid = conindid
      where pg_inherits.inhparent = 'mirror.friend_group_member'::regclass
    `.execute(trx);
    if (rows.every(({ attached }) => attached)) return;
    await sql`
      alter table only mirror.friend_group_member
        add constraint friend_group_member_pkey primary key (group_key, friend_id, added_at)
    `.execute(trx);
    for (const { index } of rows)
      await sql`alter index mirror.friend_group_member_pkey attach partition ${sql.raw(index)}`.execute(trx);
  });
  return done;
}

async function identifyChanges(connection: Database, say: Say): Promise<void> {
  const begun = (await isIndexValid(connection, newFeedIndex)) !== undefined;
  if (!begun && !(await isFeedUnique(connection)))
    await alterShortly(connection, 'change', say, async (trx) => {
      await sql`
        create unique index ${sql.id(newFeedIndex)} on only mirror.change (tx_id, change_id, observed_at)
      `.execute(trx);
    });
  await replaceFunction(connection);
  for (;;) {
    const months = await readMonths(connection);
    for (const month of months) await identifyMonth(connection, month, say);
    if (await swapFeedIndex(connection, say)) return;
    // A month may have come meanwhile; where none has, going on would be for ever.
    if (months.length === 0)
      throw new Error(
        `Index mirror.${newFeedIndex} stays invalid though every partition of mirror.change has its own.`,
      );
  }
}

async function isFeedUnique(connection: Database | Transaction<DB>): Promise<boolean> {
  const { rows } = await sql`
    select from pg_index where indexrelid = to_regclass('mirror.change_feed') and indisunique
  `.execute(connection);
  return rows.length > 0;
}

/** As it was, and with an identity for each new month. */
async function replaceFunction(connection: Database): Promise<void> {
  await sql`
    create or replace function mirror.ensure_change_partitions(months_ahead integer) returns integer
    language plpgsql as $$
    declare
      month date;
      partition text;
      made integer := 0;
    begin
      -- Two processes at once: the second waits, and then finds them made.
      perform pg_advisory_xact_lock(hashtext('tim-mirror change partitions'));
      for month in select mirror.missing_change_months(months_ahead) loop
        partition := format('change_%s', to_char(month, 'YYYY_MM'));
        execute format('create table mirror.%I (like mirror.change including defaults including constraints)', partition);
        execute format(
          'alter table mirror.change attach partition mirror.%I for values from (%L) to (%L)',
          partition, month::timestamp at time zone 'utc', (month + interval '1 month')::timestamp at time zone 'utc'
        );
        -- Without it a publication for all tables would refuse to delete an account's changes.
        execute format('alter table mirror.%I replica identity using index %I', partition, (
          select relname from pg_index join pg_class on pg_class.oid = indexrelid
          where indrelid = format('mirror.%I', partition)::regclass and indisunique
        ));
        made := made + 1;
      end loop;
      return made;
    end
    $$
  `.execute(connection);
}

/** A month of the feed, and the index that identifies its rows. */
interface Month {
  readonly table: string;
  /** Part of the feed, and not on its way out. */
  readonly attached: boolean;
  readonly index: string | null;
  readonly indexAttached: boolean;
}

/**
 * The partitions that lack something, whatever they are called, and detached months: somebody may attach them again.
 * Throws where a partition is of a kind that can have no unique index.
 */
async function readMonths(connection: Database): Promise<readonly Month[]> {
  const { rows: others } = await sql<{ name: string }>`
    select inhrelid::regclass::text as name from pg_inherits join pg_class on pg_class.oid = inhrelid
    where inhparent = 'mirror.change'::regclass and relkind <> 'r'
  `.execute(connection);
  if (others[0] !== undefined)
    throw new Error(
      `${others[0].name} is a partition of mirror.change and no ordinary table, so its rows can’t be told apart; run: alter table mirror.change detach partition ${others[0].name}; and then tim-mirror migrate again.`,
    );
  const { rows } = await sql<Month>`
    select
      relname as table, coalesce(not month.inhdetachpending, false) as attached,
      identity.name as index, coalesce(identity.attached, false) as "indexAttached"
    from pg_class
    left join pg_inherits month on month.inhrelid = pg_class.oid
    left join lateral (
      select indexrelid::regclass::text as name, parent.inhparent is not null as attached, indisreplident
      from pg_index left join pg_inherits parent on parent.inhrelid = indexrelid
      where indrelid = pg_class.oid and indisunique and indisvalid
    ) identity on true
    where relnamespace = 'mirror'::regnamespace and relkind = 'r'
      and (relname ~ '^change_[0-9]{4}_[0-9]{2}$' or month.inhparent = 'mirror.change'::regclass)
      and not (
        coalesce(identity.indisreplident, false)
        and (identity.attached or month.inhrelid is null or month.inhdetachpending)
      )
    order by relname
  `.execute(connection);
  return rows;
}

async function identifyMonth(connection: Database, month: Month, say: Say): Promise<void> {
  const { table, attached, indexAttached } = month;
  const name = `${table}_tx_id_change_id_observed_at_idx`;
  try {
    if (month.index === null)
      await buildIndex(connection, { name, table, unique: true, columns: changeKey }, say);
    const index = month.index ?? `mirror.${name}`;
    await alterShortly(connection, table, say, async (trx) => {
      const parent = sql.id('mirror', (await isFeedUnique(trx)) ? 'change_feed' : newFeedIndex);
      if (attached && !indexAttached)
        await sql`alter index ${parent} attach partition ${sql.raw(index)}`.execute(trx);
      await sql`
        alter table ${sql.id('mirror', table)} replica identity using index ${sql.raw(index.replace(/^mirror\./, ''))}
      `.execute(trx);
    });
  } catch (error) {
    const { rows } = await sql`select to_regclass(${`mirror.${table}`}) as found`.execute(connection);
    // Retention has dropped the month meanwhile.
    if (Object(rows[0]).found !== null) throw error;
  }
}

/** Puts the new index in the place of the feed's old one. False when a month without it has come meanwhile. */
async function swapFeedIndex(connection: Database, say: Say): Promise<boolean> {
  let done = false;
  await alterShortly(connection, 'change', say, async (trx) => {
    done = await isFeedUnique(trx);
    if (done) return;
    await sql`lock table only mirror.change in access exclusive mode`.execute(trx);
    const { rows } = await sql`
      select from pg_index where indexrelid = ${`mirror.${newFeedIndex}`}::regclass and indisvalid
    `.execute(trx);
    done = rows.length > 0;
    if (!done) return;
    await sql`drop index mirror.change_feed`.execute(trx);
    await sql`alter index ${sql.id('mirror', newFeedIndex)} rename to change_feed`.execute(trx);
  });
  return done;
}
