import { globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const root = new URL('../../', import.meta.url);
const files = globSync('{bin,dev,src,workers,db,bench,test}/**/*.ts', { cwd: root }).filter(
  (file) => file !== 'db/schema.ts',
);

/** Objects that are handed to a function to configure it, by the names that this code gives them. */
const options = /(?:interface|type) (\w+(?:Options|Deps|Parts))\b[^{=;]*(?:= )?\{\n([\s\S]*?)\n\}/g;

test('no options object has more than eight fields', () => {
  const found = files.flatMap((file) =>
    [...readFileSync(new URL(file, root), 'utf8').matchAll(options)].map(([, name = '', body = '']) => ({
      name,
      fields: body.match(/^ {2}(?:readonly )?\w+\??[:(]/gm)?.length ?? 0,
    })),
  );
  expect(found.length).toBeGreaterThan(60);
  expect(found.filter(({ fields }) => fields > 8)).toEqual([]);
});

test('every export is imported somewhere', () => {
  const texts = new Map(files.map((file) => [file, readFileSync(new URL(file, root), 'utf8')]));
  const words = new Map([...texts].map(([file, text]) => [file, new Set(text.match(/\w+/g))]));
  const exported = /^export (?:async )?(?:const|function\*?|class|interface|type) (\w+)/gm;
  const unused = [...texts].flatMap(([file, text]) =>
    // Migrations are loaded by their folder; what tests export is theirs.
    /^(test\/|db\/migrations\/)/.test(file)
      ? []
      : [...text.matchAll(exported)]
          .map(([, name = '']) => name)
          .filter((name) => ![...words].some(([other, used]) => other !== file && used.has(name)))
          .map((name) => `${file}: ${name}`),
  );
  expect(texts.size).toBeGreaterThan(300);
  expect(unused).toEqual([]);
});
