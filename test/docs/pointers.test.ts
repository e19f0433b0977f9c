import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Tests that a page names, as `test/http/server.pg` or `test/k8s`. */
function namedTests(page: string): readonly string[] {
  const text = readFileSync(`${root}/${page}`, 'utf8');
  return [...text.matchAll(/`(test\/[\w./-]+)`/g)].flatMap(([, path]) => path ?? []);
}

test.each(['docs/guarantees.md', 'SECURITY.md'])('every test that %s names is there', (page) => {
  const named = namedTests(page);
  expect(named.length).toBeGreaterThan(10);
  const missing = named.filter(
    (path) => globSync([path, `${path}{.e2e,}.test.ts`], { cwd: root }).length === 0,
  );
  expect(missing).toEqual([]);
});
