import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import type { Database } from '../../db/client.ts';
import { defaultCallsPerSecond } from '../../src/config/values.ts';
import {
  type BenchServers,
  type BenchVendor,
  benchApp,
  createMirror,
  startBenchDaemon,
  startBenchVendor,
  withBenchServers,
} from '../support/bench-servers.ts';

/** How much is read for the first time, with the limit lifted and with it. */
export interface BackfillScale {
  readonly liftedAccounts: number;
  readonly limitedAccounts: number;
}

/** One first read of everything. */
export interface FirstRead {
  readonly accounts: number;
  readonly memberRows: number;
  /** From the first call until the last account was written. */
  readonly seconds: number;
  readonly daemonCpuMsPerAccount: number;
}

export interface BackfillResult {
  readonly lifted: FirstRead;
  readonly limited: FirstRead;
}

export const members = 60;
export const limit = defaultCallsPerSecond;
/** More than can be reached. */
const liftedCallsPerSecond = 600;
const callsUnderWay = 32;
const lookMs = 20;
/** This long nothing may get on. */
const timeoutMs = 60_000;

/** Has a daemon read accounts that it has never read. */
export async function runBackfill(
  scale: BackfillScale,
  onStep: (share: number, what: string) => void,
): Promise<BackfillResult> {
  onStep(0, 'starting servers');
  return withBenchServers(async (servers) => {
    // First: after a million rows autovacuum keeps a processor busy for a while.
    const limited = await readAll(servers, 'limited', scale.limitedAccounts, false, (share) =>
      onStep(0.1 + 0.3 * share, `at ${limit} calls a second`),
    );
    const lifted = await readAll(servers, 'lifted', scale.liftedAccounts, true, (share) =>
      onStep(0.4 + 0.6 * share, 'the limit lifted'),
    );
    return { lifted, limited };
  });
}

async function readAll(
  servers: BenchServers,
  name: string,
  accounts: number,
  isLifted: boolean,
  onShare: (share: number) => void,
): Promise<FirstRead> {
  const vendor = await startBenchVendor(servers, benchApp, { accounts, members });
  const { url, db } = await createMirror(servers, name, [{ app: benchApp, ids: vendor.ids }]);
  const callsPerSecond = isLifted ? liftedCallsPerSecond : limit;
  const daemon = await startBenchDaemon(servers, {
    databaseUrl: url,
    apps: [{ ...benchApp, origin: vendor.origin, callsPerSecond }],
    ...(isLifted ? { callsUnderWay } : {}),
    environment: {},
  });
  const before = await daemon.usage();
  const ms = await timeFirstRead(vendor, db, accounts, onShare);
  const after = await daemon.usage();
  await daemon.send('stop');
  await daemon.end();
  await vendor.process.end();
  const { rows } = await sql<{ members: number }>`
    select count(*)::float8 as members from mirror.friend_group_member
  `.execute(db);
  return {
    accounts,
    memberRows: rows[0]?.members ?? 0,
    seconds: ms / 1000,
    daemonCpuMsPerAccount: (after.cpuMs - before.cpuMs) / accounts,
  };
}

/** Milliseconds from the first call until every account has been written. */
async function timeFirstRead(
  vendor: BenchVendor,
  db: Database,
  accounts: number,
  onShare: (share: number) => void,
): Promise<number> {
  while ((await vendor.calls()) === 0) await sleep(1);
  const began = performance.now();
  let read = 0;
  for (let moved = began; read < accounts; ) {
    await sleep(lookMs);
    // Near the end the rows are counted; before that, the calls to the vendor say enough.
    const now = Math.min(await vendor.calls(), accounts) < accounts ? 0 : await countRead(db);
    if (now !== read) moved = performance.now();
    if (performance.now() - moved > timeoutMs && now > 0)
      throw new Error('the first read has come to a stop');
    read = now;
    onShare(Math.min(await vendor.calls(), accounts) / accounts);
  }
  return performance.now() - began;
}

async function countRead(db: Database): Promise<number> {
  const { rows } = await sql<{ read: number }>`
    select count(*) filter (where first_polled_at is not null)::float8 as read from mirror.poll_state
  `.execute(db);
  return rows[0]?.read ?? 0;
}
