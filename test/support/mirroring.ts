import { expect } from 'vitest';
import { readMirrorRows } from '../../db/queries/mirror.ts';
import { compareWithTruth } from '../../src/simulator/compare.ts';
import { populate, randomChange } from '../../src/simulator/population.ts';
import { bypassRemovalBreaker } from './bypass-removal-breaker.ts';
import { currentRows, replayFeed, rowsAt } from './replay.ts';
import { waitFor } from './wait-for.ts';
import { testApp, type World } from './world.ts';

/** Makes 300 accounts as people have them, one with a group of 3,000, and enrols them. */
export async function populateWorld(world: World): Promise<readonly string[]> {
  const { truth } = world.vendor;
  const ids = populate(truth, 300, world.random);
  const [crowded] = ids;
  const crowd = Array.from({ length: 3000 }, (_, index) => `friend-${index}`);
  truth.change(crowded ?? '', { kind: 'add_group', group: '三千人👥', members: crowd });
  await world.addAccounts(...ids);
  await bypassRemovalBreaker(world.db);
  return ids;
}

/** Random changes all along, until `stop` is called; many of them empty an account. */
export function keepChanging(
  world: World,
  ids: readonly string[],
  perSecond: number,
): { stop: () => number } {
  let changes = 0;
  const timer = setInterval(() => {
    const id = world.random.pick(ids);
    const { truth } = world.vendor;
    if (truth.change(id, randomChange(truth, id, ids, world.random, 1))) changes += 1;
  }, 1000 / perSecond);
  return {
    stop() {
      clearInterval(timer);
      return changes;
    },
  };
}

/**
 * The mirror is the truth, row for row, once two poll intervals have passed for every account: each has been polled
 * twice more. Counted in polls, for how long they take is the machine's affair.
 */
export async function expectMirrorIsTruth(
  { db, vendor }: Pick<World, 'db' | 'vendor'>,
  appId = testApp.appId,
): Promise<void> {
  const read = async () => {
    const states = await db
      .selectFrom('mirror.poll_state')
      .select(['account_key', 'claim_no', 'leased_until'])
      .execute();
    return new Map(states.map((state) => [state.account_key, state]));
  };
  const before = await read();
  await waitFor(
    'every account to be polled twice more',
    async () => {
      const now = await read();
      return [...before].every(([key, { claim_no }]) => {
        const state = now.get(key);
        const finished = (state?.claim_no ?? 0) - (state?.leased_until === null ? 0 : 1);
        return finished >= claim_no + 2;
      });
    },
    90_000,
  );
  const look = async () => compareWithTruth(vendor.truth.rows(), await readMirrorRows(db, appId));
  // A removal that came a moment before the end is believed with the read after next.
  await waitFor(
    'removals to be confirmed',
    async () => {
      const { missing, invented } = await look();
      return missing.length + invented.length === 0;
    },
    30_000,
  ).catch(() => undefined);
  expect(await look()).toEqual({ missing: [], invented: [] });
}

/** The history and the change feed lead to what the tables hold. */
export async function expectFeedIsMirror(world: World): Promise<void> {
  const rows = await currentRows(world.db);
  expect(await replayFeed(world.db)).toEqual(rows);
  expect(await rowsAt(world.db, 'infinity')).toEqual(rows);
}
