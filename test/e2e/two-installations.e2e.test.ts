import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Database } from '../../db/client.ts';
import { enrolAccounts } from '../../db/queries/accounts.ts';
import { ensureApp } from '../../db/queries/apps.ts';
import { readMirrorRows } from '../../db/queries/mirror.ts';
import { compareWithTruth } from '../../src/simulator/compare.ts';
import { populate } from '../../src/simulator/population.ts';
import { startSimulator } from '../../src/simulator/server.ts';
import { startTestDaemon } from '../support/daemon.ts';
import { createTestDatabase } from '../support/database.ts';
import { createTestRedis, type TestRedis } from '../support/redis.ts';
import { waitFor } from '../support/wait-for.ts';
import { createWorld, testApp } from '../support/world.ts';

let redis: TestRedis;

beforeAll(async () => {
  redis = await createTestRedis();
});

afterAll(async () => {
  await redis?.[Symbol.asyncDispose]();
});

/** Every account has had this many claims. */
async function pollsOfEach(db: Database, polls: number): Promise<void> {
  await waitFor(
    `every account to be polled ${polls} times`,
    async () => {
      const { rows } = await sql`select from mirror.poll_state where claim_no <= ${polls} limit 1`.execute(
        db,
      );
      return rows.length === 0;
    },
    120_000,
  );
}

const removalsReported = async (db: Database) =>
  (await sql`select from tim.changes where kind in ('group_removed', 'member_removed')`.execute(db)).rows
    .length;

describe('two databases on one Redis', () => {
  test('that mirror the same app share its limit and nothing else, though the same account has another key in each', async () => {
    await using world = await createWorld({ callsPerSecond: 200 });
    await using second = await createTestDatabase();
    const { vendor } = world;
    const ids = populate(vendor.truth, 100, world.random).toSorted();
    const { appId } = testApp;
    await enrolAccounts(world.db, appId, ids);
    // The latter half first, so that a key of the one is another account's in the other.
    await ensureApp(second.db, testApp);
    await enrolAccounts(second.db, appId, ids.slice(50));
    await enrolAccounts(second.db, appId, ids.slice(0, 50));

    const where = { vendor, redisUrl: redis.url, env: { TIM_CALLS_PER_SECOND: '80' } };
    await using one = await startTestDaemon({ ...where, databaseUrl: world.database.url });
    await using other = await startTestDaemon({ ...where, databaseUrl: second.url });
    for (const db of [world.db, second.db]) await pollsOfEach(db, 3);
    await Promise.all([one.daemon.stop(), other.daemon.stop()]);

    for (const db of [world.db, second.db]) {
      const { missing, invented } = compareWithTruth(vendor.truth.rows(), await readMirrorRows(db, appId));
      expect({ missing, invented }).toEqual({ missing: [], invented: [] });
      expect(await removalsReported(db)).toBe(0);
    }
    // A busy machine delivers a call that it held up together with the next ones; two buckets would be 160.
    expect(vendor.stats().worstSecond).toBeLessThanOrEqual(80 * 1.2);
  });

  test('that mirror different apps work side by side', async () => {
    await using world = await createWorld({ callsPerSecond: 200 });
    await using neighbour = await createWorld({ callsPerSecond: 200 });
    const otherApp = 1_400_000_001;
    const ids = populate(world.vendor.truth, 40, world.random).toSorted();
    await enrolAccounts(world.db, testApp.appId, ids);
    const vendor = await startSimulator({ ...testApp, appId: otherApp }, neighbour.random);
    const others = populate(vendor.truth, 40, neighbour.random).toSorted();
    await ensureApp(neighbour.db, { appId: otherApp, callsPerSecond: 190 });
    await enrolAccounts(neighbour.db, otherApp, others);

    await using one = await startTestDaemon({
      vendor: world.vendor,
      databaseUrl: world.database.url,
      redisUrl: redis.url,
    });
    await using other = await startTestDaemon({
      vendor,
      databaseUrl: neighbour.database.url,
      redisUrl: redis.url,
      env: { TIM_SDK_APP_ID: String(otherApp) },
    });
    for (const db of [world.db, neighbour.db]) {
      await pollsOfEach(db, 3);
      expect(await removalsReported(db)).toBe(0);
    }
    await Promise.all([one.daemon.stop(), other.daemon.stop()]);
    const { missing, invented } = compareWithTruth(
      vendor.truth.rows(),
      await readMirrorRows(neighbour.db, otherApp),
    );
    expect({ missing, invented }).toEqual({ missing: [], invented: [] });
    await vendor.close();
  });
});
