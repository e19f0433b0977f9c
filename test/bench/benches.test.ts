import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';

test('bench without a name lists every bench and what it measures', () => {
  const { stdout, status } = spawnSync('node', ['bench/run.ts'], { encoding: 'utf8' });
  expect(status).toBe(0);
  // A folder each, but for what they share.
  const names = readdirSync('bench', { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== 'support')
    .map(({ name }) => name);
  expect(names.length).toBeGreaterThan(10);
  for (const name of names) expect(stdout).toMatch(new RegExp(`^ {2}${name} .*\\w{4}`, 'm'));
});
