import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';

test('bench without a name lists every bench and what it measures', () => {
  const { stdout, status } = spawnSync('node', ['bench/run.ts'], { encoding: 'utf8' });
  expect(status).toBe(0);
  for (const name of ['analyst', 'backfill', 'claim', 'engine', 'freshness', 'apps', 'limiter', 'soak'])
    expect(stdout).toMatch(new RegExp(`^ {2}${name} .*\\w{4}`, 'm'));
});
