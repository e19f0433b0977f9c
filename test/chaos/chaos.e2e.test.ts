import { expect, test } from 'vitest';
import { testSeed } from '../support/world.ts';
import { runChaos } from './chaos.ts';

// `npm run chaos` is the long version.
test('half a minute of everything that can go wrong breaks no promise', async () => {
  const report = await runChaos({
    minutes: 0.5,
    seed: testSeed(),
    // Other tests run beside this one.
    callsPerSecond: 120,
    agreeWithinSeconds: 150,
    say: () => undefined,
    logs: undefined,
  });
  expect(report.breaches).toEqual([]);
  expect(report.changes).toBeGreaterThan(100);
  expect(Object.keys(report.faults).length).toBeGreaterThan(5);
  expect(report.removalsChecked).toBeGreaterThan(0);
}, 360_000);
