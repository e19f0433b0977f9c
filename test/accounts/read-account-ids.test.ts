import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { detectFormat, type ListOptions } from '../../src/accounts/list-format.ts';
import { readAccountIds } from '../../src/accounts/read-account-ids.ts';

async function read(list: string | Buffer, request: ListOptions = {}) {
  const lines = [];
  // In small pieces, so that lines, letters and marks are cut in two.
  const bytes = Buffer.from(list);
  const pieces = Array.from({ length: Math.ceil(bytes.length / 3) }, (_, index) =>
    bytes.subarray(index * 3, index * 3 + 3),
  );
  for await (const line of await readAccountIds(Readable.from(pieces), request)) lines.push(line);
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

  test('bad lines are reported with their number and what is wrong, and the rest is read', async () => {
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
    ['account_id', 'csv'],
    ['name, account_id', 'csv'],
    ['{"account_id":"a"}', 'ndjson'],
  ])('a first line %j speaks of %s', (line, kind) => {
    expect(detectFormat(line)).toMatchObject({ kind });
  });

  test.each(['Account_ID', 'user_id', 'UserID', 'USER ID', 'id', 'From_Account'])(
    'a column %s holds the ids, alone or beside others',
    async (name) => {
      expect(ids(await read(`${name}\nalice\n`))).toEqual(['alice']);
      for (const delimiter of [',', ';', '\t', '|'])
        expect(ids(await read(`age${delimiter}"${name}"\n3${delimiter}alice\n`))).toEqual(['alice']);
    },
  );

  test('of two columns that may hold ids the better known one is taken', async () => {
    expect(ids(await read('id,user_id\n1,alice\n'))).toEqual(['alice']);
  });

  test('a column is named in any case, in CSV and in NDJSON', async () => {
    expect(ids(await read('id,Name\n1,alice\n', { column: 'name' }))).toEqual(['alice']);
    expect(ids(await read('{"id":"1","name":"alice"}\n', { column: 'name' }))).toEqual(['alice']);
    expect(ids(await read('{"userId":"alice"}\n'))).toEqual(['alice']);
  });

  test.each<[string, string, ListOptions, RegExp]>([
    [
      'columns of which none is known',
      'key,name\n1,Alice\n',
      {},
      /columns "key", "name", and none.*--column/,
    ],
    ['no header', '1,Alice\n2,Bob\n', {}, /columns "1", "Alice"/],
    ['not the column that is named', 'id,name\n', { column: 'uid' }, /none of them is "uid"/],
    ['objects without an id', '{"name":"alice"}\n', {}, /fields "name"/],
    ['a JSON array', '[{"account_id":"alice"}]', {}, /JSON array/],
    ['a column where lines are insisted on', 'a\n', { column: 'a', format: 'lines' }, /--column is about/],
  ])('%s: the list is refused before its first account', async (_what, list, request, sentence) => {
    await expect(readAccountIds(Readable.from([Buffer.from(list)]), request)).rejects.toThrow(sentence);
  });

  test('what a spreadsheet has made of ids is left out with its line, in lines and in CSV', async () => {
    const problems = [
      { line: 2, problem: 'is a number that a spreadsheet has rounded' },
      { line: 3, problem: 'begins or ends with a quote' },
    ];
    expect(await read(`alice\n1.40001E+09\n'bob'\na,b\n`)).toEqual([
      { line: 1, id: 'alice' },
      ...problems,
      { line: 4, problem: 'looks like several columns' },
    ]);
    expect(await read(`id\n1.40001E+09\n'bob'\n`)).toEqual(problems);
  });

  test('each line is an id, whatever it looks like, where lines are insisted on', async () => {
    const list = ['id,name', '1.40001E+09', '"bob"', 'a;b'];
    expect(ids(await read(list.join('\n'), { format: 'lines' }))).toEqual(list);
  });

  test('quoted ids without a header lose their quotes', async () => {
    expect(ids(await read('"alice"\r\n"bob"\r\n'))).toEqual(['alice', 'bob']);
  });

  test('quotes that are none of CSV’s end the list with the line', async () => {
    await expect(read('id,name\nal"ice,x\n')).rejects.toThrow(/^Line 2 can’t be read as CSV/);
  });

  const inUtf16 = (text: string, mark: string) => Buffer.from(mark + text, 'utf16le');
  test.each<[string, Buffer]>([
    ['UTF-16', inUtf16('user_id\nalice\nbob\n', '\uFEFF')],
    ['UTF-16 without its mark', inUtf16('alice\nbob\n', '')],
    ['UTF-16, high bytes first', inUtf16('alice\nbob\n', '\uFEFF').swap16()],
    ['gzip', gzipSync('user_id\nalice\nbob\n')],
    ['UTF-16 in gzip', gzipSync(inUtf16('alice\r\nbob\r\n', '\uFEFF'))],
    ['old line ends', Buffer.from('alice\rbob\r')],
  ])('%s is read', async (_what, list) => {
    expect(ids(await read(list))).toEqual(['alice', 'bob']);
  });

  test.each<[string, Buffer, RegExp]>([
    ['a workbook', Buffer.from('PK\u0003\u0004xl/workbook.xml'), /Excel workbook \(xlsx\).*save it as CSV/],
    ['bytes that are no text', Buffer.from('alice\n\0\u0001\u0002bob\n'), /not text/],
    [
      'gzip cut short',
      gzipSync('alice\n'.repeat(1000)).subarray(0, 30),
      /damaged or cut short \(Z_BUF_ERROR\)/,
    ],
    ['a line without end', Buffer.alloc(1_100_000, 'x'), /longer than a million/],
  ])('%s is named and refused', async (_what, list, sentence) => {
    const all = async () => {
      for await (const _ of await readAccountIds(Readable.from([list]))) void _;
    };
    await expect(all()).rejects.toThrow(sentence);
  });

  test('the first line that counts is judged whole, however late its end comes', async () => {
    expect(ids(await read(`\n  \nname,${'a'.repeat(50)},user_id\nx,y,alice\n`))).toEqual(['alice']);
  });
});
