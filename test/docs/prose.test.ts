import { globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createProgram } from '../../bin/program.ts';

/** Words of our own where the field has words, and phrases that a reader must decode. */
const banned =
  /\b(anew|mended|mends?|broken off|tells?|told|telling|hurry|vouch(es)?|nobody|somebody|anybody|everybody|whoever|so many|so long|hangs? on|so-called|stands?|stood|verdict|lessons?|wish(es)?|stor(y|ies)|trouble|lanes?|patience|ill|doubles)\b/gi;
const root = new URL('../../', import.meta.url);
const tracked = (pattern: string) => globSync(pattern, { cwd: root, exclude: ['node_modules/**'] });
/** English pages; the Chinese ones say the same. */
const pages = tracked('{*,docs/*}.md').filter((page) => !page.endsWith('.zh-CN.md'));
/** What belongs to a sentence and is no prose: code, links, tables' rulers. */
const prose = (text: string) =>
  text
    .replace(/```[\s\S]*?```/g, '')
    .replace(/`[^`]*`/g, 'code')
    .replace(/\]\([^)]*\)/g, ']')
    .replace(/\*[^*\n]+\*/g, 'test');

test.each(pages)('%s is in words that need no decoding', (page) => {
  const text = prose(readFileSync(new URL(`../../${page}`, import.meta.url), 'utf8'));
  expect([...text.matchAll(banned)].map(([word]) => word)).toEqual([]);
});

test.each(['docs/architecture.md', 'docs/failure-modes.md', 'docs/lifecycle.md', 'docs/scaling.md'])(
  'sentences of %s have 20 words at most, on average',
  (page) => {
    const text = prose(readFileSync(new URL(`../../${page}`, import.meta.url), 'utf8'));
    const sentences = text
      .split('\n')
      .filter((line) => /^[A-Z*]/.test(line))
      .flatMap((line) => line.split(/(?<=[.:;])\s/))
      .map((sentence) => sentence.split(/\s+/).length);
    expect(sentences.length).toBeGreaterThan(5);
    expect(sentences.reduce((sum, words) => sum + words, 0) / sentences.length).toBeLessThanOrEqual(20);
  },
);

test('the help of every command is in words that need no decoding', async () => {
  const program = await createProgram();
  const helps = [program, ...program.commands.flatMap((command) => [command, ...command.commands])].map(
    (command) => command.helpInformation(),
  );
  expect([...helps.join('\n').replace(/\s+/g, ' ').matchAll(banned)].map(([word]) => word)).toEqual([]);
});

/** What is read as prose in a file of code: all of it, but in tests, whose data may be any text, comments and titles. */
function readable(file: string): string {
  const text = readFileSync(new URL(file, root), 'utf8');
  if (!file.startsWith('test/')) return text;
  return text
    .split('\n')
    .filter((line) => /^\s*(\/\/|\/?\*|(test|describe)\b)/.test(line))
    .join('\n');
}

/** Applied migrations keep their text; this file has the list. The runner of the local servers names a user of the system. */
const exempt = (file: string) =>
  /^db\/(migrations\/|schema\.ts)|^test\/docs\/prose\.test\.ts$|^dev\/local-servers\/runner\.ts$/.test(file);

test('names, comments, logs, errors and titles of tests are in words that need no decoding', () => {
  const files = tracked('{bin,dev,src,workers,db,bench,test,k8s}/**/*.{ts,js,yaml,html}').filter(
    (file) => !exempt(file),
  );
  expect(files.length).toBeGreaterThan(300);
  const found = files.flatMap((file) =>
    [...readable(file).matchAll(banned)].map(([word]) => `${file}: ${word}`),
  );
  expect(found).toEqual([]);
});
