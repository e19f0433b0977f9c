import { setImmediate } from 'node:timers/promises';
import pg from 'pg';
import { expect, test } from 'vitest';
import { parseConfig } from '../src/config/config.ts';
import { asWeUseIt, problemOfPostgresUrl } from '../src/config/postgres-url.ts';
import { passwordsIn } from '../src/config/url-passwords.ts';
import { describeConfig } from '../workers/start-warnings.ts';

test.each([
  ['postgres://tim:pw@db:6432/tim', { host: 'db', port: 6432, user: 'tim', database: 'tim' }],
  [
    'postgresql://tim:pw@/tim?host=/run/postgresql',
    { host: '/run/postgresql', user: 'tim', database: 'tim' },
  ],
  ['postgresql:///tim?host=/run/postgresql&user=tim&password=pw', { host: '/run/postgresql', user: 'tim' }],
  ['postgres://tim:pw@[::1]/tim', { host: '::1', database: 'tim' }],
  ['postgres://tim:pw@%2Frun%2Fpostgresql/tim', { host: '/run/postgresql', database: 'tim' }],
])('%s leads where libpq takes it, and its password is known', (url, expected) => {
  expect(problemOfPostgresUrl(url)).toBeUndefined();
  const used = asWeUseIt(url);
  expect(asWeUseIt(used)).toBe(used);
  expect(new pg.Client({ connectionString: used })).toMatchObject(expected);
  expect(passwordsIn(used)).toContain('pw');
});

test.each([
  ['postgresql://postgres@/db?host=/run/postgresql', '/run/postgresql'],
  ['postgresql:///db?host=/run/postgresql&user=postgres', '/run/postgresql'],
  ['postgresql://postgres@localhost/db?host=/run/postgresql', '/run/postgresql'],
  ['postgresql://postgres@%2Frun%2Fpostgresql/db', '/run/postgresql'],
  ['postgresql://postgres@server:6432/db', 'server'],
  ['postgresql://postgres@/db', 'localhost'],
])('the first log line names the host or the socket’s folder that %s leads to', (url, databaseHost) => {
  const env = { TIM_SDK_APP_ID: '1400000000', DATABASE_URL: url };
  const config = parseConfig({ env, readFile: () => '' }, ['app', 'database']);
  expect(describeConfig(config)).toMatchObject({ databaseHost, databaseName: 'db' });
  expect(new pg.Client({ connectionString: config.databaseUrl ?? '' }).host).toBe(databaseHost);
});

test.each([
  ['disable', false],
  ['prefer', { rejectUnauthorized: false }],
  ['require', { rejectUnauthorized: false }],
  ['verify-full', {}],
])('sslmode=%s means what it means to libpq, without a warning', async (mode, ssl) => {
  const warned: Error[] = [];
  const note = (warning: Error) => warned.push(warning);
  process.on('warning', note);
  const url = `postgres://tim@db/tim?sslmode=${mode}`;
  expect(problemOfPostgresUrl(url)).toBeUndefined();
  expect(Reflect.get(new pg.Client({ connectionString: asWeUseIt(url) }), 'ssl')).toEqual(ssl);
  // Warnings come with the next tick.
  await setImmediate();
  process.off('warning', note);
  expect(warned).toEqual([]);
});

test.each([
  ['postgres://tim:hunter22@one,two/tim', /names several hosts/],
  ['postgres://tim:hunter22@/tim?host=one,two', /names several hosts/],
  ['postgres://tim:hunter22@db/tim?sslmode=allow', /sslmode that is not known here; disable, verify-full/],
  ['postgres://tim:hunter22@db/tim?sslmode=verify-ca', /without the CA; add sslrootcert/],
  ['mysql://tim:hunter22@db/tim', /must be a URL such as/],
  ['host=db user=tim password=hunter22', /must be a URL such as/],
  ['postgres://tim:hunter22@db:99999/tim', /must be a URL such as/],
  ['', /must be a URL such as/],
])('%j is refused with a sentence that does not show it', (url, sentence) => {
  expect(problemOfPostgresUrl(url)).toMatch(sentence);
  expect(problemOfPostgresUrl(url)).not.toContain('hunter22');
});
