import { randomInt } from 'node:crypto';
import { sql } from 'kysely';
import type { Database } from '../../db/client.ts';
import { createDatabaseClock } from '../../db/clock.ts';
import { enrolAccounts } from '../../db/queries/accounts.ts';
import { ensureApp } from '../../db/queries/apps.ts';
import { type ClaimedAccount, claimDue } from '../../db/queries/claims.ts';
import { readMirrorRows } from '../../db/queries/mirror.ts';
import { noteOutcomes, recordPolls } from '../../db/queries/poll-records.ts';
import { createStop, type Stop } from '../../src/lifecycle.ts';
import { silentLogger } from '../../src/log.ts';
import type { QueueStats } from '../../src/schedule/queue-stats.ts';
import { createScrubber } from '../../src/scrubber.ts';
import { compareWithTruth, type Differences } from '../../src/simulator/compare.ts';
import { createRandom, type Random } from '../../src/simulator/random.ts';
import { type Simulator, startSimulator } from '../../src/simulator/server.ts';
import { type PollResult, pollAccount } from '../../src/sync/poll-account.ts';
import type { PollDeps } from '../../src/sync/poll-deps.ts';
import { createStorageHealth } from '../../src/sync/storage-health.ts';
import { createTencentClient, type TencentClient } from '../../src/tencent/client.ts';
import { createTestDatabase, type TestDatabase } from './database.ts';

export const testApp = {
  appId: 1_400_000_000,
  secretKey: 'the-secret-key-of-the-tests',
  admin: 'administrator',
  callsPerSecond: 190,
};

/** What a test replaces of what a poll works with. */
export interface PollOverrides extends Partial<Omit<PollDeps, 'policy' | 'health'>> {
  readonly policy?: Partial<PollDeps['policy']>;
  readonly health?: Partial<PollDeps['health']>;
}

/** `deps` with what a test replaces. */
export function withOverrides(deps: PollDeps, over: PollOverrides): PollDeps {
  return {
    ...deps,
    ...over,
    policy: { ...deps.policy, ...over.policy },
    health: { ...deps.health, ...over.health },
  };
}

/** A database and a vendor, with all that is needed to poll an account by hand. */
export interface World extends AsyncDisposable {
  readonly database: TestDatabase;
  readonly db: Database;
  readonly vendor: Simulator;
  readonly client: TencentClient;
  readonly deps: PollDeps;
  readonly random: Random;
  readonly seed: number;
  readonly stop: Stop;
  /** Makes accounts at the vendor and enrols them. */
  addAccounts(...ids: readonly string[]): Promise<void>;
  /** Claims an account, whether it is due or not. */
  claim(id: string): Promise<ClaimedAccount>;
  /** Lets so much time pass for what waits for a second read. */
  passTime(seconds: number): Promise<void>;
  /** Claims, polls and records an account. */
  poll(id: string, deps?: PollOverrides): Promise<PollResult>;
  /** Records what came of a poll. */
  record(result: PollResult): Promise<void>;
  differences(): Promise<Differences>;
}

/** The seed of a test's chance: a new one each time, or that of TEST_SEED, to repeat a failure. */
export function testSeed(): number {
  const given = process.env['TEST_SEED'];
  const seed = given === undefined ? randomInt(2 ** 31) : Number(given);
  process.stderr.write(`seed ${seed} (TEST_SEED=${seed} repeats it)\n`);
  return seed;
}

/** A new world. Without a number of calls a second the vendor knows no limit, for polls made by hand. */
export async function createWorld(options: { callsPerSecond?: number } = {}): Promise<World> {
  const seed = testSeed();
  const random = createRandom(seed);
  const database = await createTestDatabase();
  const { db } = database;
  const vendor = await startSimulator(
    { ...testApp, callsPerSecond: options.callsPerSecond ?? 1_000_000 },
    random,
  );
  const stop = createStop();
  const { client, deps } = await createPollDeps(db, vendor, random);
  await ensureApp(db, testApp);

  const claim = (id: string) => claimAccount(db, id);
  const record = (result: PollResult) => recordResult(db, result);
  return {
    database,
    db,
    vendor,
    client,
    deps,
    random,
    seed,
    stop,
    async addAccounts(...ids) {
      for (const id of ids) vendor.truth.addAccount(id);
      await enrolAccounts(db, testApp.appId, ids.toSorted());
    },
    claim,
    record,
    async passTime(seconds) {
      await sql`update mirror.poll_state set pending_at = pending_at - ${seconds} * interval '1 second'`.execute(
        db,
      );
    },
    async poll(id, over = {}) {
      const result = await pollAccount(withOverrides(deps, over), await claim(id), stop);
      await record(result);
      return result;
    },
    differences: async () => compareWithTruth(vendor.truth.rows(), await readMirrorRows(db, testApp.appId)),
    async [Symbol.asyncDispose]() {
      await client.close();
      await vendor.close();
      await database[Symbol.asyncDispose]();
    },
  };
}

async function createPollDeps(db: Database, vendor: Simulator, random: Random) {
  const clock = await createDatabaseClock(db);
  const scrubber = createScrubber();
  const queue: QueueStats = {
    accounts: 1000,
    weightSum: 1000,
    callsPerSecond: 190,
    minIntervalSeconds: 30,
    maxIntervalSeconds: 86_400,
  };
  const client = createTencentClient({
    app: { ...testApp, origin: vendor.origin },
    takeToken: async () => undefined,
    now: () => clock.now(),
    scrubber,
  });
  const deps: PollDeps = {
    db,
    appId: testApp.appId,
    client,
    policy: {
      queue: () => queue,
      fullReadIntervalMs: () => 7 * 86_400_000,
      confirmRemovalAfterMs: 60_000,
    },
    health: {
      mayBelieve: async () => true,
      vendorIsUnhealthy: () => false,
      storage: createStorageHealth(),
    },
    random: random.next,
    now: () => clock.now(),
    output: { log: silentLogger(), scrub: scrubber.scrub },
  };
  return { client, deps };
}

async function recordResult(db: Database, { record, note }: PollResult): Promise<void> {
  await recordPolls(db, testApp.appId, record === undefined ? [] : [record]);
  await noteOutcomes(db, note === undefined ? [] : [note]);
}

async function claimAccount(db: Database, id: string): Promise<ClaimedAccount> {
  const account = await db
    .selectFrom('mirror.account')
    .select('account_key')
    .where('account_id', '=', id)
    .executeTakeFirstOrThrow();
  return db.transaction().execute(async (trx) => {
    // It comes first, also before accounts that are first in the queue for another reason.
    await sql`
      update mirror.poll_state set
        due_v = case when account_key = ${account.account_key} then '-infinity' else greatest(due_v, 0) end,
        leased_until = case when account_key = ${account.account_key} then null else leased_until end
      where account_key = ${account.account_key} or due_v < 0
    `.execute(trx);
    for (const queue of ['never_polled', 'known'] as const) {
      const { accounts } = await claimDue(trx, {
        appId: testApp.appId,
        queue,
        places: 1,
        virtualClock: 0,
        ceiling: -1,
        leaseSeconds: 60,
      });
      if (accounts[0] !== undefined) return accounts[0];
    }
    throw new Error(`${id} could not be claimed`);
  });
}
