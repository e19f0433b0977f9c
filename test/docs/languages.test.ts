import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { createProgram } from '../../bin/program.ts';
import { variableNames } from '../../src/config/config.ts';
import { blocksOf, readDocument } from '../support/documents.ts';

const pairs = [
  ['README.md', 'README.zh-CN.md'],
  ['docs/analysts.md', 'docs/analysts.zh-CN.md'],
  ['docs/operations.md', 'docs/operations.zh-CN.md'],
] as const;

/** Commands without the remarks behind them. */
const commands = (text: string) =>
  blocksOf(text, 'sh').map((block) => block.replaceAll(/\s+#.*$/gm, '').trimEnd());

/** Names, commands and values: what is between backticks outside of blocks. */
function namesIn(text: string): readonly string[] {
  const prose = text.replaceAll(/^```.*?^```$/gms, '');
  return [...new Set([...prose.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name))].toSorted();
}

const headings = (text: string) =>
  text
    .replaceAll(/^```.*?^```$/gms, '')
    .split('\n')
    .flatMap((line) => /^#+(?= )/.exec(line)?.[0] ?? []);

const tablesIn = (text: string) =>
  text.split('\n').flatMap((line) => (line.startsWith('|') ? [line.split('|').length] : []));

const links = (text: string) =>
  [...text.matchAll(/\]\(([^)#]+)\)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !/^https?:/.test(target));

describe.each(pairs)('%s and %s', (english, chinese) => {
  const one = readDocument(english);
  const other = readDocument(chinese);

  test('give the same commands, queries, results and picture', () => {
    expect(commands(other)).toEqual(commands(one));
    for (const language of ['sql', 'text', 'mermaid'])
      expect(blocksOf(other, language)).toEqual(blocksOf(one, language));
  });

  test('name the same tables, columns, variables, options and values', () => {
    expect(namesIn(other)).toEqual(namesIn(one));
  });

  test('have the same sections and tables, and links that lead somewhere', () => {
    expect(headings(other)).toEqual(headings(one));
    expect(tablesIn(other)).toEqual(tablesIn(one));
    for (const [path, text] of [
      [english, one],
      [chinese, other],
    ] as const)
      for (const link of links(text))
        expect({ link, there: existsSync(new URL(link, new URL(`../../${path}`, import.meta.url))) }).toEqual(
          {
            link,
            there: true,
          },
        );
  });
});

test.each(variableNames)('README.md and --help describe %s', async (name) => {
  let help = '';
  (await createProgram())
    .configureOutput({
      writeOut(text) {
        help += text;
      },
    })
    .outputHelp();
  expect(help).toMatch(new RegExp(`\\b${name}\\b`));
  expect(readDocument('README.md')).toContain(`\`${name}\``);
});

test('every command of the command line that README.md names exists', async () => {
  const known = new Set((await createProgram()).commands.map((command) => command.name()));
  const named = [...readDocument('README.md').matchAll(/tim-mirror -- ([a-z]+)/g)].map(([, name]) => name);
  expect(named.length).toBeGreaterThan(10);
  expect(named.filter((name) => name === undefined || !known.has(name))).toEqual([]);
});
