import { writeFileSync } from 'node:fs';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { formatTable } from '../../src/terminal/table.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { fillDemoMirror } from '../support/demo-mirror.ts';
import { blocksOf, readDocument } from '../support/documents.ts';

const english = 'docs/analysts.md';
/** UPDATE_DOCS=1 writes what Postgres says into the documents, instead of comparing. */
const update = process.env['UPDATE_DOCS'] !== undefined;

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
  await fillDemoMirror(database.db);
}, 120_000);

afterAll(async () => {
  await database?.[Symbol.asyncDispose]();
});

async function all<T>(text: string): Promise<T[]> {
  return (await sql.raw<T>(text).execute(database.db)).rows;
}

/** What a query gives, as documents show it. */
async function resultOf(query: string): Promise<string> {
  const rows = await all<Record<string, unknown>>(query);
  const names = Object.keys(rows[0] ?? {});
  return formatTable(
    names.map((title) => ({ title })),
    rows.map((row) => names.map((name) => textOf(row[name]))),
  );
}

function textOf(value: unknown): string {
  if (!(value instanceof Date)) return value === null ? 'null' : String(value);
  const iso = value.toISOString();
  return iso.endsWith('T00:00:00.000Z') ? iso.slice(0, 10) : iso.replace('T', ' ').replace('.000Z', 'Z');
}

/** Each SQL block with the block of text below it: a query and what is said that it gives. */
const answered = /^```sql\n(?<query>.*?)^```\n(?:\n```text\n(?<result>.*?)^```\n)?/gms;

/** The columns of the views, as the dictionary has them. */
async function columnsOfViews() {
  return all<{ view: string; column: string; type: string; comment: string }>(`
    select relname as view, attname as column, format_type(atttypid, atttypmod) as type,
      col_description(pg_class.oid, attnum) as comment
    from pg_class join pg_attribute on attrelid = pg_class.oid and attnum > 0
    where relnamespace = 'tim'::regnamespace and relkind = 'v' order by relname, attnum
  `);
}

async function dictionary(): Promise<string> {
  const columns = await columnsOfViews();
  const views = await all<{ view: string; comment: string }>(`
    select relname as view, obj_description(oid, 'pg_class') as comment from pg_class
    where relnamespace = 'tim'::regnamespace and relkind = 'v' order by relname
  `);
  const short = (type: string) => type.replace('timestamp with time zone', 'timestamptz');
  const functions = await all<{ call: string; comment: string }>(`
    select format('tim.%s(%s)', proname, pg_get_function_arguments(pg_proc.oid)) as call,
      obj_description(oid, 'pg_proc') as comment
    from pg_proc where pronamespace = 'tim'::regnamespace order by 1
  `);
  const called = functions.map(({ call, comment }) => `| \`${short(call)}\` | ${comment} |\n`).join('');
  const dictionaryOfViews = views
    .map(({ view, comment }) => {
      const rows = columns
        .filter((column) => column.view === view)
        .map(({ column, type, comment: meaning }) => `| \`${column}\` | ${short(type)} | ${meaning} |`);
      return `### tim.${view}\n\n${comment}\n\n| column | type | meaning |\n| --- | --- | --- |\n${rows.join('\n')}\n`;
    })
    .join('\n');
  return `${dictionaryOfViews}\n| function | returns |\n| --- | --- |\n${called}`;
}

const between = /(?<=<!-- dictionary -->\n).*?(?=<!-- end -->)/s;

describe('docs/analysts.md', () => {
  test('has a dictionary of every view and column with the words that the database has for it', async () => {
    const expected = `\n${await dictionary()}\n`;
    if (update) write(english, (text) => text.replace(between, () => expected));
    expect(between.exec(readDocument(english))?.[0]).toBe(expected);
  });

  test('draws no column that is not there', async () => {
    const known = new Set(
      (await columnsOfViews()).map(({ view, column, type }) =>
        [view, type.replace('timestamp with time zone', 'timestamptz'), column].join(' '),
      ),
    );
    const [picture = ''] = blocksOf(readDocument(english), 'mermaid');
    const drawn = [...picture.matchAll(/^ {2}(\w+) \{\n(.*?)^ {2}\}/gms)].flatMap(([, view, body = '']) =>
      body
        .trim()
        .split('\n')
        .map((line) => `${view} ${line.trim()}`),
    );
    expect(drawn.length).toBeGreaterThan(30);
    expect(drawn.filter((column) => !known.has(column))).toEqual([]);
  });

  test('says of every question what the demo’s mirror answers', async () => {
    for (const [whole, query = '', result] of readDocument(english).matchAll(answered)) {
      if (query.startsWith('-- feed')) continue;
      const found = await resultOf(query);
      if (update)
        write(english, (text) =>
          text.replace(whole, () => `\`\`\`sql\n${query}\`\`\`\n\n\`\`\`text\n${found}\`\`\`\n`),
        );
      else expect({ query, result }).toEqual({ query, result: found });
    }
    expect([...readDocument(english).matchAll(/^### \d+\. /gm)]).toHaveLength(12);
  });
});

function write(path: string, change: (text: string) => string): void {
  writeFileSync(new URL(`../../${path}`, import.meta.url), change(readDocument(path)));
}

const described = z.object({ name: z.string(), description: z.string().min(10) });
const dbtTest = z.union([z.string(), z.record(z.string(), z.unknown())]);
const sourcesFile = z.object({
  version: z.literal(2),
  sources: z.tuple([
    described.extend({
      schema: z.literal('tim'),
      tables: z.array(
        described.extend({
          config: z
            .object({
              loaded_at_field: z.literal('verified_at'),
              freshness: z.record(z.string(), z.unknown()),
            })
            .optional(),
          columns: z.array(described.extend({ data_tests: z.array(dbtTest).optional() })),
        }),
      ),
    }),
  ]),
});

describe('docs/dbt/sources.yml', () => {
  const tables = () => sourcesFile.parse(parse(readDocument('docs/dbt/sources.yml'))).sources[0].tables;

  test('describes exactly the views and columns that there are, and freshness by verified_at', async () => {
    const reported = tables().flatMap(({ name, columns }) =>
      columns.map((column) => `${name}.${column.name}`),
    );
    const there = (await columnsOfViews()).map(({ view, column }) => `${view}.${column}`);
    expect(reported.toSorted()).toEqual(there.toSorted());
    expect(tables().filter(({ config }) => config !== undefined)).toMatchObject([{ name: 'accounts' }]);
  });

  test('has tests that hold: what may not be null is not, and only the values named occur', async () => {
    for (const { name: table, columns } of tables()) {
      for (const { name: column, data_tests: tests = [] } of columns) {
        if (tests.includes('not_null'))
          expect(await all(`select from tim.${table} where ${column} is null limit 1`)).toEqual([]);
        if (tests.includes('unique'))
          expect(
            await all(`select ${column} from tim.${table} group by 1 having count(*) > 1 limit 1`),
          ).toEqual([]);
      }
    }
    const values = (table: string, column: string) =>
      JSON.stringify(
        tables()
          .find(({ name }) => name === table)
          ?.columns.find(({ name }) => name === column)?.data_tests,
      );
    const [enums] = await all<{ kinds: string[]; statuses: string[] }>(`
      select enum_range(null::mirror.change_kind)::text[] as kinds,
        enum_range(null::mirror.account_status)::text[] as statuses
    `);
    expect(values('changes', 'kind')).toContain(JSON.stringify(enums?.kinds));
    expect(values('accounts', 'status')).toContain(JSON.stringify(enums?.statuses));
  });
});
