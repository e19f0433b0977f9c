import { sql } from 'kysely';
import type { Database } from '../../db/client.ts';
import { accountStatements, appId, changeStatement, feedDays, type Range } from './rows.ts';

interface SeedOptions {
  readonly accounts: number;
  /** Called now and then with the share that is done, from 0 to 1. */
  readonly onProgress: (share: number) => void;
}

/** An index that is made after the rows. */
interface IndexPlan {
  readonly name: string;
  readonly definition: string;
  /** How it is taken away. */
  readonly removal: string;
}

const accountsAtOnce = 20_000;
const changesAtOnce = 200_000;

/**
 * Fills a migrated database of one's own with generated rows, the same for the same number of accounts but for their
 * times. The large tables' indexes that no reference needs are taken away first and returned: they are made after the rows.
 */
export async function seedMirror(db: Database, options: SeedOptions): Promise<readonly IndexPlan[]> {
  const { accounts, onProgress } = options;
  await prepareServer(db);
  await sql`
    insert into mirror.app (app_id, weight_sum, account_count) values (${appId}, ${accounts}, ${accounts})
  `.execute(db);
  await makeMonthBefore(db);
  const indexes = await dropIndexes(db);
  const changes = accounts * feedDays;
  const work = [
    ...ranges(accounts, accountsAtOnce).map((range) => accountStatements(range, accounts)),
    ...ranges(changes, changesAtOnce).map((range) => [changeStatement(range, accounts, changes)]),
  ];
  const total = work.length;
  let done = 0;
  // Two at a time, for a machine of two cores.
  const fill = async () => {
    for (let statements = work.shift(); statements !== undefined; statements = work.shift()) {
      await write(db, statements);
      done += 1;
      onProgress(done / total);
    }
  };
  await Promise.all([fill(), fill()]);
  await sql`
    select setval('mirror.change_id_seq', ${changes}),
      setval(pg_get_serial_sequence('mirror.account', 'account_key'), ${accounts}),
      setval(pg_get_serial_sequence('mirror.friend_group', 'group_key'), ${(accounts + 1) * 40})
  `.execute(db);
  return indexes;
}

/** Makes an index; returns how many seconds it took. */
export async function makeIndex(db: Database, { definition }: IndexPlan): Promise<number> {
  const started = performance.now();
  await db.connection().execute(async (connection) => {
    await sql`set maintenance_work_mem = '512MB'`.execute(connection);
    await sql.raw(definition).execute(connection);
  });
  return (performance.now() - started) / 1000;
}

function ranges(count: number, atOnce: number): readonly Range[] {
  return Array.from({ length: Math.ceil(count / atOnce) }, (_, index) => ({
    from: index * atOnce + 1,
    to: Math.min(count, (index + 1) * atOnce),
  }));
}

/** Settings for a server whose rows can be made again. */
async function prepareServer(db: Database): Promise<void> {
  for (const setting of ["max_wal_size = '16GB'", 'autovacuum = off', "checkpoint_timeout = '1h'"])
    await sql.raw(`alter system set ${setting}`).execute(db);
  await sql`select pg_reload_conf()`.execute(db);
}

/** The feed reaches back some days, which may lie in the month before; migrations make no partition for it. */
async function makeMonthBefore(db: Database): Promise<void> {
  await sql
    .raw(`
      do $$
      declare month timestamp := date_trunc('month', now() at time zone 'utc');
      begin
        execute format(
          'create table mirror.change_%s partition of mirror.change for values from (%L) to (%L)',
          to_char(month - interval '1 month', 'YYYY_MM'),
          (month - interval '1 month') at time zone 'utc', month at time zone 'utc'
        );
      end
      $$
    `)
    .execute(db);
}

/** Takes away the indexes of the large tables that no reference needs; returns how to make them. */
async function dropIndexes(db: Database): Promise<readonly IndexPlan[]> {
  const { rows } = await sql<IndexPlan>`
    -- On partitions too.
    select indexrelid::regclass::text as name,
      replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ') as definition,
      'drop index ' || indexrelid::regclass as removal
    from pg_index
    where indrelid in (
        'mirror.friend_group'::regclass, 'mirror.friend_group_member'::regclass,
        'mirror.change'::regclass, 'mirror.poll_state'::regclass
      )
      and not exists (select from pg_constraint where conindid = indexrelid)
    union all
    select conindid::regclass::text,
      format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)),
      format('alter table %s drop constraint %I', conrelid::regclass, conname)
    from pg_constraint where conrelid = 'mirror.friend_group_member'::regclass and contype = 'p'
    order by 1
  `.execute(db);
  for (const { removal } of rows) await sql.raw(removal).execute(db);
  return rows;
}

async function write(db: Database, statements: readonly string[]): Promise<void> {
  await db.transaction().execute(async (trx) => {
    // References hold by construction, and checking them would double the time.
    await sql`set local session_replication_role = replica`.execute(trx);
    for (const text of statements) await sql.raw(text).execute(trx);
  });
}
