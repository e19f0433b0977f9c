import { expect } from 'vitest';
import { readMirrorRows } from '../../db/queries/mirror.ts';
import { compareWithTruth } from '../../src/simulator/compare.ts';
import { populate, randomChange } from '../../src/simulator/population.ts';
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
  return ids;
}

/** Random changes all along, until `stop` is called. */
export function keepChanging(
  world: World,
  ids: readonly string[],
  perSecond: number,
): { stop: () => number } {
  let changes = 0;
  const timer = setInterval(() => {
    const id = world.random.pick(ids);
    if (world.vendor.truth.change(id, randomChange(world.vendor.truth, id, ids, world.random))) changes += 1;
  }, 1000 / perSecond);
  return {
    stop() {
      clearInterval(timer);
      return changes;
    },
  };
}

/** Waits until the mirror is the truth, row for row; fails with the rows that differ. */
export async function expectMirrorIsTruth(world: World, withinMs: number): Promise<void> {
  const look = async () =>
    compareWithTruth(world.vendor.truth.rows(), await readMirrorRows(world.db, testApp.appId));
  await waitFor(
    'the mirror to be the truth',
    async () => {
      const { missing, invented } = await look();
      return missing.length + invented.length === 0;
    },
    withinMs,
  ).catch(async (error: Error) => {
    const { missing, invented } = await look();
    throw new Error(
      `${error.message}; ${missing.length} rows missing, ${invented.length} invented, such as ${missing[0] ?? invented[0]}`,
    );
  });
}

/** The history and the change feed lead to what the tables hold. */
export async function expectFeedIsMirror(world: World): Promise<void> {
  const rows = await currentRows(world.db);
  expect(await replayFeed(world.db)).toEqual(rows);
  expect(await rowsAt(world.db, 'infinity')).toEqual(rows);
}
