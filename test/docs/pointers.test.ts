import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(join(root, path), 'utf8');

/** Test files that a path such as `test/http/server.pg` or `test/k8s` names. */
function filesOf(path: string): readonly string[] {
  return [
    ...globSync(`${path}{.e2e,}.test.ts`, { cwd: root }),
    ...globSync(`${path}/**/*.test.ts`, { cwd: root }),
  ];
}

/** Tests that a page names, as `test/http/server.pg` or `test/k8s`. */
function namedTests(page: string): readonly string[] {
  return [...read(page).matchAll(/`(test\/[\w./-]+)`/g)].flatMap(([, path]) => path ?? []);
}

/** Titles that a page names in italics, each with the test file that is named last before it in the same line. */
function namedTitles(page: string) {
  return read(page)
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .flatMap((line) => {
      let path = '';
      return [...line.matchAll(/`(test\/[\w./-]+)`|(?<!\*)\*([^*]+)\*(?!\*)/g)].flatMap(([, file, title]) => {
        path = file ?? path;
        return title === undefined ? [] : [{ path, title }];
      });
    });
}

/** What follows `test(`, `describe(` or the parameters of either; a title in a suite counts for the files that import it. */
const titleOf = /(?:\b(?:test|describe)(?:\.\w+)*|\))\(\s*(['"`])((?:\\.|(?!\1).)+)\1\s*,/g;

function titlesIn(file: string): readonly string[] {
  const text = read(file);
  const suites = [...text.matchAll(/from '(\.[^']*suite\.ts)'/g)].map(([, path = '']) =>
    join(dirname(file), path),
  );
  const titles = [...text.matchAll(titleOf)].map(([, , title = '']) => title.replace(/\\(.)/g, '$1'));
  return [...titles, ...suites.flatMap(titlesIn)];
}

/** Whether a name is that of a test. An ellipsis at its end replaces the rest; parameters are written as in the title. */
function isNameOf(name: string, title: string): boolean {
  return name.endsWith('…') ? title.startsWith(name.slice(0, -1).trimEnd()) : title === name;
}

test.each(['docs/failure-modes.md', 'docs/guarantees.md', 'SECURITY.md'])(
  'every test that %s names is there',
  (page) => {
    const named = namedTests(page);
    expect(named.length).toBeGreaterThan(10);
    const missing = named.filter(
      (path) => filesOf(path).length === 0 && globSync(path, { cwd: root }).length === 0,
    );
    expect(missing).toEqual([]);
  },
);

test.each(['docs/guarantees.md', 'SECURITY.md'])(
  'what %s writes in italics is what a test of the file beside it is called',
  (page) => {
    const named = namedTitles(page);
    expect(named.length).toBeGreaterThan(0);
    const missing = named.filter(
      ({ path, title }) =>
        !filesOf(path)
          .flatMap(titlesIn)
          .some((each) => isNameOf(title, each)),
    );
    expect(missing).toEqual([]);
  },
);
