import { expect, test } from 'vitest';
import { createFreshFiles } from '../src/config/fresh-files.ts';
import { parseRedisServers, withLoginOf } from '../src/config/redis-servers.ts';
import { freshLogin } from '../src/redis/redis-login.ts';

function openFile() {
  let now = 0;
  let text: string | undefined = 'first';
  let reads = 0;
  const files = createFreshFiles(() => now);
  const calls: string[] = [];
  files.listen({
    onChange: (name, value) => calls.push(`${name} is ${value}`),
    onProblem: (name) => calls.push(`${name} has a problem`),
  });
  files.remember('first', 'KEY_FILE', () => {
    reads += 1;
    if (text === undefined) throw new Error('no such file');
    return text;
  });
  return {
    files,
    calls,
    reads: () => reads,
    hold: (value: string | undefined) => {
      text = value;
      now += 1000;
    },
  };
}

test('a value that came from no file stays what it is', () => {
  expect(createFreshFiles().fresh('given')).toBe('given');
});

test('a file is read again once a second at most, however often its value is needed', () => {
  const { files, reads, hold } = openFile();
  hold('second\n');
  for (let ask = 0; ask < 100; ask += 1) expect(files.fresh('first')).toBe('second');
  expect(reads()).toBe(1);
});

test('while a file is away or empty its last good text is used, and that is said once', () => {
  const { files, calls, hold } = openFile();
  for (const text of [undefined, '', ' \n', 'second', undefined, undefined, 'second', 'third']) {
    hold(text);
    files.fresh('first');
  }
  expect(files.fresh('first')).toBe('third');
  expect(calls).toEqual([
    'KEY_FILE has a problem',
    'KEY_FILE is second',
    'KEY_FILE has a problem',
    'KEY_FILE is third',
  ]);
});

test.each([
  ['redis://a:1@host:6379/2', 'redis://b:2@elsewhere', { url: 'redis://b:2@host:6379/2' }],
  ['redis+cluster://a:1@one,two', 'redis+cluster://b:2@three', { username: 'b', password: '2' }],
  [
    'rediss+sentinel://:1@one/main?sentinelPassword=x',
    'rediss+sentinel://:2@one/main?sentinelPassword=y',
    { password: '2', sentinelPassword: 'y' },
  ],
  ['redis://a:1@host', 'redis+cluster://b:2@host', { url: 'redis://a:1@host' }],
  ['redis://a:1@host', 'half writ', { url: 'redis://a:1@host' }],
])('a login is taken from another URL, and the place never (%s, %s)', (given, fresh, expected) => {
  const servers = parseRedisServers(given);
  if (typeof servers === 'string') throw new Error(servers);
  const changed = withLoginOf(servers, fresh);
  expect(changed).toMatchObject(expected);
  expect(changed.kind).toBe(servers.kind);
  for (const part of ['nodes', 'sentinels', 'name', 'tls'] as const)
    expect(Reflect.get(changed, part)).toEqual(Reflect.get(servers, part));
});

test.each([
  ['redis://tim:p%40ss@host', { username: 'tim', password: 'p@ss' }],
  ['redis://host', {}],
  [
    'rediss+sentinel://tim:pw@one/main?sentinelPassword=s',
    { username: 'tim', password: 'pw', sentinelPassword: 's' },
  ],
])('the next attempt to connect to %s has its login, however it is encoded', (url, login) => {
  const servers = parseRedisServers(url);
  if (typeof servers === 'string') throw new Error(servers);
  expect(freshLogin(servers)).toEqual(login);
});
