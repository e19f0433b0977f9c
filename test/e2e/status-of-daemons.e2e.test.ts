import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect } from '../../db/client.ts';
import { upkeepSession } from '../../db/queries/daemons.ts';
import { type LocalRedis, startRedis } from '../../dev/local-servers/redis.ts';
import { formatStatus } from '../../src/status/format-status.ts';
import { readStatus } from '../../src/status/read-status.ts';
import type { AppStatus } from '../../src/status/status.ts';
import { startTestDaemon } from '../support/daemon.ts';
import { waitFor } from '../support/wait-for.ts';
import { createWorld, type World } from '../support/world.ts';

let redis: LocalRedis;
let world: World;

beforeAll(async () => {
  redis = await startRedis({ say: (sentence) => process.stderr.write(`${sentence}\n`) });
  world = await createWorld({ callsPerSecond: 20 });
  await world.addAccounts(...Array.from({ length: 900 }, (_, index) => `user-${index}`));
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
  await redis?.stop();
});

interface Seen {
  readonly app: AppStatus;
  readonly text: string;
}

/** The status as `status` and the page have it. */
async function look(): Promise<Seen> {
  const status = await readStatus(world.db);
  const [app] = status.apps;
  if (app === undefined) throw new Error('no app');
  return { app, text: formatStatus(status) };
}

/** Looks until the text fits; a daemon that runs is never taken for none. */
function untilSaid(what: RegExp): Promise<Seen> {
  return waitFor(
    String(what),
    async () => {
      const seen = await look();
      expect(seen.app.state).not.toBe('idle');
      return what.test(seen.text) ? seen : undefined;
    },
    120_000,
  );
}

test('status knows a daemon that has just started, that waits for Redis, that Redis refuses, and that is halted', async () => {
  expect((await look()).text).toMatch(/IDLE: no daemon is connected .*tim-mirror start/);
  const running = await startTestDaemon({
    vendor: world.vendor,
    databaseUrl: world.database.url,
    redisUrl: redis.url,
  });
  try {
    expect((await look()).app.state).toMatch(/^(waiting|polling)$/);
    await untilSaid(/: polling\n/);
    // A minute's rate makes a time left; it is complete in ten seconds.
    await waitFor('a time left', async () => (await look()).app.firstRead?.secondsLeft != null, 120_000);

    await redis.crash();
    const away = await untilSaid(
      /WAITING: The daemon is running, but since \d{4}-\S+Z: Redis does not answer; /,
    );
    expect(away.app.problems).toContain(away.app.waiting);
    expect(away.app.firstRead).toMatchObject({ secondsLeft: null });
    await redis.revive();
    await untilSaid(/: polling\n/);

    const client = new Redis(redis.url);
    await client.config('SET', 'maxmemory', '1');
    await untilSaid(/WAITING: The daemon is running, but since \S+: Redis refuses writes, .*raise maxmemory/);
    await client.config('SET', 'maxmemory', '0');
    client.disconnect();
    await untilSaid(/: polling\n/);

    world.vendor.setSecretKey('another key');
    const halted = await untilSaid(/HALTED since/);
    expect(halted.app.firstRead).toMatchObject({ secondsLeft: null });
    expect(halted.text).not.toMatch(/first read.* left|of calls wait/);
    expect(halted.text).toContain('It goes on by itself');
  } finally {
    await running.daemon.stop();
  }
  // The halt outlasts the daemon, and nothing goes on by itself without one.
  const without = await waitFor('the daemon to be gone', async () => {
    const seen = await look();
    return !seen.app.daemonRuns && seen;
  });
  expect(without.text).toMatch(/HALTED[\s\S]*Then start the daemon: no daemon is connected/);
}, 400_000);

test('a daemon that prepares a large database has started', async () => {
  const preparing = connect({
    url: world.database.url,
    applicationName: upkeepSession,
    onIdleError: () => undefined,
  });
  try {
    await preparing.selectFrom('mirror.app').select('app_id').execute();
    await world.db.updateTable('mirror.app').set({ halted_at: null, dispatched_at: null }).execute();
    expect((await look()).text).toMatch(/WAITING: A daemon is starting/);
  } finally {
    await preparing.destroy();
  }
  await waitFor('the session to end', async () => (await look()).app.state === 'idle');
});
