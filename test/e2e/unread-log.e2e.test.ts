import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { daemonEnvironment } from '../support/daemon.ts';
import { populateWorld } from '../support/mirroring.ts';
import { waitFor } from '../support/wait-for.ts';
import { createWorld } from '../support/world.ts';

test('a log without a reader blocks neither polling nor shutdown; lines are dropped and counted, and the log says so once it is read again', async () => {
  await using world = await createWorld({ callsPerSecond: 200 });
  await populateWorld(world);
  // Each writes 100 bytes of log; 64 kB fit into the pipe, and as much waits for it.
  const enough = 1600;
  const started: ChildProcess[] = [];
  onTestFinished(() => {
    for (const each of started) each.kill('SIGKILL');
  });
  const start = () => {
    const child = spawn(
      process.execPath,
      [fileURLToPath(new URL('../../bin/tim-mirror.ts', import.meta.url)), 'start'],
      {
        env: daemonEnvironment({
          vendor: world.vendor,
          databaseUrl: world.database.url,
          env: { LOG_LEVEL: 'trace', POLL_MIN_INTERVAL: '100ms' },
        }),
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    started.push(child);
    return child;
  };
  // Its standard output is not read yet.
  const daemon = start();
  let address = '';
  const { calls } = world.vendor.stats();
  await waitFor('calls that would fill the log', () => world.vendor.stats().calls > calls + enough, 90_000);
  let text = '';
  daemon.stdout.on('data', (chunk) => {
    text += String(chunk);
    address ||= /"url":"([^"]+)"/.exec(text)?.[1] ?? '';
  });
  const dropped = await waitFor(
    'a word of what was dropped',
    () => /"lines":(\d+),"msg":"the log was not read/.exec(text)?.[1],
  );
  expect(Number(dropped)).toBeGreaterThan(0);
  expect(await (await fetch(`${address}/metrics`)).text()).toMatch(
    /^tim_mirror_dropped_log_lines_total [1-9]/m,
  );
  daemon.kill('SIGTERM');
  expect(await once(daemon, 'exit')).toEqual([0, null]);

  const unheard = start();
  const before = world.vendor.stats().calls;
  await waitFor('calls', () => world.vendor.stats().calls > before + enough / 2, 90_000);
  unheard.kill('SIGTERM');
  await once(unheard, 'exit');
});
