import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { type AccountFormat, detectFormat, readAccountIds } from '../../src/accounts/read-account-ids.ts';

async function read(text: string, format?: AccountFormat) {
  const first = text.split('\n')[0] ?? '';
  const lines = [];
  // In small pieces, so that lines and letters are cut in two.
  const bytes = Buffer.from(text);
  const pieces = Array.from({ length: Math.ceil(bytes.length / 7) }, (_, index) =>
    bytes.subarray(index * 7, index * 7 + 7),
  );
  for await (const line of readAccountIds(Readable.from(pieces), format ?? detectFormat(first)))
    lines.push(line);
  return lines;
}

const ids = (lines: Awaited<ReturnType<typeof read>>) =>
  lines.map((line) => ('id' in line ? line.id : line.problem));

describe('a list of accounts', () => {
  test('one id a line, with any line ends, empty lines and a byte order mark', async () => {
    expect(ids(await read('\uFEFFalice\r\nbob\n\n  \ncarol'))).toEqual(['alice', 'bob', 'carol']);
  });

  test('CSV with a column account_id, quoted or not, at any place', async () => {
    expect(ids(await read('name,account_id\n"Li, Lei",alice\n韩梅梅,"b""ob"\n'))).toEqual(['alice', 'b"ob']);
    expect(ids(await read('account_id;name\nalice;x\n'))).toEqual(['alice']);
  });

  test('NDJSON', async () => {
    expect(ids(await read('{"account_id":"alice"}\n{"account_id":"bob","age":3}\n'))).toEqual([
      'alice',
      'bob',
    ]);
  });

  test('bad lines are told with their number and what is wrong, and the rest is read', async () => {
    expect(await read(`alice\n张三\n${'x'.repeat(33)}\n bob\ncarol`)).toEqual([
      { line: 1, id: 'alice' },
      { line: 2, problem: 'has characters other than printable ASCII' },
      { line: 3, problem: 'is longer than 32 characters' },
      { line: 4, problem: 'begins or ends with a blank' },
      { line: 5, id: 'carol' },
    ]);
    expect(await read('account_id\nalice\n""\n')).toEqual([
      { line: 2, id: 'alice' },
      { line: 3, problem: 'is empty' },
    ]);
    expect(await read('{"account_id":"alice"}\n{"account_id":7}\nnonsense\n')).toEqual([
      { line: 1, id: 'alice' },
      { line: 2, problem: 'is not an object with a text account_id' },
      { line: 3, problem: 'is not an object with a text account_id' },
    ]);
  });

  test('an empty list is empty', async () => {
    expect(await read('')).toEqual([]);
  });

  test.each([
    ['alice', 'lines'],
    ['id,name', 'lines'],
    ['account_id', 'csv'],
    ['name, account_id', 'csv'],
    ['{"account_id":"a"}', 'ndjson'],
  ])('a first line %j speaks of %s', (line, format) => {
    expect(detectFormat(line)).toBe(format);
  });
});
