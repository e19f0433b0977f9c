import { sql } from 'kysely';
import { connect, type Database } from '../../db/client.ts';
import { migrate } from '../../db/migrate.ts';
import { ensureApp, readApps } from '../../db/queries/apps.ts';
import { countQueue } from '../../db/queries/count-queue.ts';
import { recordPolls } from '../../db/queries/poll-records.ts';
import type { LocalPostgres } from '../../dev/local-servers/postgres.ts';
import { claimBatches } from '../../src/app/claim-batches.ts';
import { defaultCallsPerSecond } from '../../src/config/values.ts';
import { rateRule } from '../../src/schedule/policy.ts';
import type { QueueStats } from '../../src/schedule/queue-stats.ts';
import { afterRead } from '../../src/sync/next-state.ts';

/** A database with a queue of this many accounts in full swing, which the production statements work. */
export interface QueueDatabase {
  readonly rows: number;
  /** Claims this many accounts and records that nothing is new with them, in statements of a fifth of a second each. */
  work(polls: number): Promise<void>;
  /** Counts the queue, as the daemon does once a minute. */
  count(): Promise<void>;
  /** Bytes that an account takes with its polling state, indexes included. */
  bytesPerAccount(): Promise<number>;
  close(): Promise<void>;
}

const appId = 1;
const callsPerSecond = defaultCallsPerSecond;
/** Polls that the daemon records with one statement at full budget. */
const gathered = 38;
const rowsAtOnce = 250_000;

/** Makes the database and fills it; `onRows` is called with the number of rows so far. */
export async function createQueueDatabase(
  postgres: LocalPostgres,
  rows: number,
  onRows: (rows: number) => void,
): Promise<QueueDatabase> {
  const name = `line_${rows}`;
  const server = connect({ url: postgres.url(), applicationName: 'bench', onIdleError: () => undefined });
  await sql`create database ${sql.id(name)}`.execute(server);
  await server.destroy();
  const db = connect({ url: postgres.url(name), applicationName: 'bench', onIdleError: () => undefined });
  await migrate(db);
  await ensureApp(db, { appId, callsPerSecond });
  for (let from = 1; from <= rows; from += rowsAtOnce) {
    await fill(db, from, Math.min(from + rowsAtOnce - 1, rows));
    onRows(Math.min(from + rowsAtOnce - 1, rows));
  }
  await sql`vacuum analyze mirror.account, mirror.poll_state`.execute(db);
  await countQueue(db, appId, rateRule);
  const app = (await readApps(db))[0];
  const queue: QueueStats = {
    accounts: app?.accountCount ?? rows,
    weightSum: app?.weightSum ?? rows,
    callsPerSecond,
    minIntervalSeconds: 30,
    maxIntervalSeconds: 86_400,
  };

  return {
    rows,
    async work(polls) {
      // As if a minute had passed, so that the clock allows the claim.
      await sql`update mirror.app set clock_moved_at = clock_moved_at - interval '1 minute'`.execute(db);
      const { accounts } = await claimBatches(db, appId, polls, Math.random);
      const now = Date.now();
      const records = accounts.map((account) =>
        afterRead(
          account,
          { at: now, sequence: account.sequence ?? 1, changed: false, full: false },
          queue,
          Math.random,
        ),
      );
      for (let start = 0; start < records.length; start += gathered)
        await recordPolls(db, appId, records.slice(start, start + gathered));
    },
    count: () => countQueue(db, appId, rateRule),
    async bytesPerAccount() {
      const { rows: sizes } = await sql<{ bytes: number }>`
        select pg_total_relation_size('mirror.account') + pg_total_relation_size('mirror.poll_state') as bytes
      `.execute(db);
      return (sizes[0]?.bytes ?? 0) / rows;
    },
    close: () => db.destroy(),
  };
}

/** Accounts as they are after weeks: rates lognormal, three in four asleep, each somewhere in the queue. */
async function fill(db: Database, from: number, to: number): Promise<void> {
  await sql`
    with made as (
      insert into mirror.account (app_id, account_id)
      select ${appId}, 'user-' || lpad(n::text, 10, '0') from generate_series(${from}::integer, ${to}::integer) n
      returning account_key
    )
    insert into mirror.poll_state (
      account_key, app_id, due_v, weight, change_mass, sequence, first_polled_at, verified_at, full_read_at,
      changed_at, status, group_count, content_hash
    )
    select
      account_key, ${appId}, random() / weight, weight, weight * weight * 2, 1000 + account_key % 1000,
      now() - interval '30 days', now() - random() * interval '1 hour', now() - random() * interval '7 days',
      now() - random() * interval '5 days', 'active', 3, sha256(account_key::text::bytea)
    from (
      select
        account_key,
        greatest(0.2, case when account_key % 4 = 0 then exp(random() + random() + random() - 1.5) * 1.4 else 0 end)
          as weight
      from made
    ) weighed
  `.execute(db);
}
