import { readFileSync } from 'node:fs';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ensureApp } from '../../db/queries/apps.ts';
import { type CustomerDatabase, startCustomerDatabase } from '../support/account-source.ts';
import { runCommand } from '../support/daemon.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

const appId = 1;
const million = 1_000_000;
/** Far more than is in use, for the engine lets garbage lie while memory is free: with a heap of 64 MB it takes 136 MB. */
const mostMegabytes = 400;
let customer: CustomerDatabase;
let database: TestDatabase;

beforeAll(async () => {
  customer = await startCustomerDatabase();
  database = await createTestDatabase();
  await ensureApp(database.db, { appId, callsPerSecond: 190 });
  // Accounts that a sync has named before; their polling is of no matter here, and so are the foreign keys.
  await database.db.connection().execute(async (connection) => {
    await sql`set session_replication_role = replica`.execute(connection);
    await sql`
      insert into mirror.account (app_id, account_id, in_source)
      select ${appId}, 'user-' || lpad(number::text, 7, '0'), true from generate_series(1, ${million}::integer) number
    `.execute(connection);
    await sql`
      insert into mirror.poll_state (account_key, app_id, due_v)
      select account_key, app_id, 0 from mirror.account where account_id < 'user-0000100'
    `.execute(connection);
  });
});

afterAll(async () => {
  await customer?.[Symbol.asyncDispose]();
  await database?.[Symbol.asyncDispose]();
});

/** The most memory that a process has had, in megabytes, as Linux counts it; looked at until it ends. */
async function watchMemory(pid: number | undefined, ended: Promise<unknown>): Promise<number> {
  let most = 0;
  const look = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      most = Math.max(most, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
    } catch {
      // It has ended.
    }
  }, 20);
  await ended;
  clearInterval(look);
  return most;
}

test.skipIf(process.platform !== 'linux')(
  'a million accounts are read from a second Postgres in memory that does not grow with them',
  async () => {
    const command = runCommand(['accounts', 'sync', '--prune', '--json'], {
      DATABASE_URL: database.url,
      TIM_SDK_APP_ID: String(appId),
      ACCOUNTS_SOURCE_URL: customer.url,
      ACCOUNTS_QUERY: `
        select 'user-' || lpad(number::text, 7, '0') as account_id
        from generate_series(4, ${million + 5}) number`,
    });
    const megabytes = await watchMemory(command.child.pid, command.ended);
    const { code, stdout, stderr } = await command.ended;
    expect({ code, stderr: stderr.replaceAll(/accounts \|.*\n/g, '').trim() }).toEqual({
      code: 0,
      stderr: '',
    });
    expect(JSON.parse(stdout)).toMatchObject({
      outcome: 'synced',
      report: { named: million + 2, enrolled: 5, vanished: 3, removed: 3 },
    });
    process.stderr.write(`a million accounts: ${Math.round(megabytes)} MB at most\n`);
    expect(megabytes).toBeGreaterThan(20);
    expect(megabytes).toBeLessThan(mostMegabytes);
  },
  // Half a minute on a machine that has nothing else to do.
  240_000,
);
