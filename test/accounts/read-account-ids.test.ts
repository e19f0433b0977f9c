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

  test.each([
    ...['account', 'username', 'user_name', 'openid', 'open_id', 'To_Account', 'From_Account', 'member_id'],
    ...['identifier', 'uin', 'account id', 'ACCOUNT', '"OpenID"'],
  ])('a first line %s above others is a header', async (name) => {
    expect(ids(await read(`${name}\r\nalice\r\nbob`))).toEqual(['alice', 'bob']);
  });

  test('a name that an account may have is an id where no line follows, or where lines are insisted on', async () => {
    expect(ids(await read('account\n \n'))).toEqual(['account']);
    expect(ids(await read('account\nbob\n', { format: 'lines' }))).toEqual(['account', 'bob']);
  });

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
    [
      'psql’s table of one column',
      '   id   \n--------\n alice\n(1 row)\n',
      {},
      /psql -At, or .*copy … csv header/,
    ],
    ['psql’s table', ' id | name \n----+------\n  1 | Alice\n', {}, /psql -At/],
    ['a table with a border', '+----+\n| id |\n+----+\n| a  |\n+----+\n', {}, /psql -At/],
    ['psql’s records', '-[ RECORD 1 ]\nid | 1\n', {}, /psql -At/],
    ['a column where lines are insisted on', 'a\n', { column: 'a', format: 'lines' }, /--column is about/],
  ])('%s: the list is refused before its first account', async (_what, list, request, sentence) => {
    await expect(readAccountIds(Readable.from([Buffer.from(list)]), request)).rejects.toThrow(sentence);
  });

  test('what a spreadsheet has made of ids is left out with its line, in lines, in CSV and in NDJSON', async () => {
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
    const list = ['alice', '1.40001E+09', "'bob'"].map((id) => JSON.stringify({ id })).join('\n');
    expect(await read(list)).toEqual([{ line: 1, id: 'alice' }, ...problems]);
  });

  test.each(['1.40001E9', '1.40001e09', '1E5', '14.0001E+08', '1,40001E+09', '12E+7', '-1.5E3', '1.E+09'])(
    '%s is a number that a spreadsheet has rounded',
    async (id) => {
      const problem = 'is a number that a spreadsheet has rounded';
      expect(await read(`alice\n${id}`)).toContainEqual({ line: 2, problem });
      expect(await read(`id\n"${id}"`)).toEqual([{ line: 2, problem }]);
    },
  );

  test.each([
    '1e5a',
    'abc1E5',
    '12e45678',
    '507199e11bcf86',
    '123456789012345678901e23',
    '3E-12',
    'E5',
    '1.5',
  ])('%s is an id', async (id) => {
    expect(ids(await read(`alice\n${id}`))).toEqual(['alice', id]);
    expect(ids(await read(`id\n${id}`))).toEqual([id]);
  });

  test('rows with more or fewer columns than the header are left out with their lines', async () => {
    expect(await read('id\nalice\nacme,0\nbob,\ncarol;0\n')).toEqual([
      { line: 2, id: 'alice' },
      { line: 3, problem: 'has 2 columns, and the first line has 1' },
      { line: 4, id: 'bob' },
      { line: 5, problem: 'looks like several columns' },
    ]);
    expect(await read('id;name\n1,Alice\n2;Bob\n\n3;Li;Lei\n4;Mei;\n')).toEqual([
      { line: 2, problem: 'has 1 column, and the first line has 2' },
      { line: 3, id: '2' },
      { line: 5, problem: 'has 3 columns, and the first line has 2' },
      { line: 6, id: '4' },
    ]);
    expect(ids(await read('id,name,\nalice,x\n'))).toEqual(['alice']);
  });

  test('an id with a delimiter is left out of a table, but a bar is no delimiter beside another', async () => {
    const problem = 'looks like several columns';
    expect(await read('id,name\n1;Alice,\n"a,b",x\nauth0|7,Bob\n')).toEqual([
      { line: 2, problem },
      { line: 3, problem },
      { line: 4, id: 'auth0|7' },
    ]);
  });

  test('the number of rows that psql prints below is no account', async () => {
    const problem = 'is psql’s count of rows (export with psql -At)';
    expect(await read('id\nalice\n(1 row)\n')).toEqual([
      { line: 2, id: 'alice' },
      { line: 3, problem },
    ]);
    expect(await read('alice\nbob\n(2 rows)')).toContainEqual({ line: 3, problem });
  });

  test('each line is an id, whatever it looks like, where lines are insisted on', async () => {
    const list = ['id,name', '-----', '1.40001E+09', '1E5', '"bob"', 'a;b', '(2 rows)'];
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

  test('a million empty lines between the first two are passed over', async () => {
    const list = Buffer.from(`alice${'\n'.repeat(1_100_000)}bob`);
    const lines = [];
    for await (const line of await readAccountIds(Readable.from([list]))) lines.push(line);
    expect(ids(lines)).toEqual(['alice', 'bob']);
  });
});
