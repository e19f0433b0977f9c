import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createProgram } from '../../bin/program.ts';

/** Words of our own where the field has words, and phrases that a reader must decode. */
const banned =
  /\b(anew|mended|broken off|tells?|told|hurry|vouch(es)?|nobody|somebody|whoever|so many|so long|hangs? on|so-called)\b/gi;
/** Pages that are in plain English already; a page that has been rewritten joins them. */
const pages = [
  'README.md',
  'SECURITY.md',
  'docs/analysts.md',
  'docs/architecture.md',
  'docs/failure-modes.md',
  'docs/freshness.md',
  'docs/glossary.md',
  'docs/guarantees.md',
  'docs/lifecycle.md',
  'docs/operations.md',
  'docs/performance.md',
  'docs/scaling.md',
];
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
