import { describe, expect, test } from 'vitest';
import { type Reading, readings } from '../../src/simulator/group-api.ts';
import { startTestDaemon } from '../support/daemon.ts';
import {
  expectFeedIsMirror,
  expectMirrorIsTruth,
  keepChanging,
  populateWorld,
} from '../support/mirroring.ts';
import { waitFor } from '../support/wait-for.ts';
import { createWorld } from '../support/world.ts';

/** The main job, for each meaning of the sequence: accounts go in, and the mirror comes to be the truth. */
export function testMirroring(redisUrl: () => string | undefined, of: readonly Reading[] = readings): void {
  describe.each(of)('the daemon mirrors 300 lively accounts (%s)', (reading) => {
    test('and once nothing changes any more the mirror is the truth within two poll intervals', async () => {
      await using world = await createWorld({ callsPerSecond: 200 });
      const { vendor } = world;
      vendor.setReading(reading);
      const ids = await populateWorld(world);
      const url = redisUrl();
      await using running = await startTestDaemon({
        vendor,
        databaseUrl: world.database.url,
        ...(url === undefined ? {} : { redisUrl: url }),
      });
      const changing = keepChanging(world, ids, 40);
      await waitFor(
        'every account to be read several times',
        () => vendor.stats().calls > 3 * ids.length,
        120_000,
      );
      const changes = changing.stop();
      await expectMirrorIsTruth(world);
      await running.daemon.stop();

      expect(changes).toBeGreaterThan(100);
      await expectFeedIsMirror(world);
      expect(vendor.stats().answers['60007']).toBeUndefined();
      expect(vendor.stats().worstSecond).toBeLessThanOrEqual(200);
    });
  });
}
