import { describe, expect, test } from 'vitest';
import { ConfigError, type Need, parseConfig, secretsOf } from '../src/config/config.ts';
import { parseDuration } from '../src/config/values.ts';

const everything: Need[] = ['app', 'credentials', 'database'];
const good = {
  TIM_SDK_APP_ID: '1400000000',
  TIM_SECRET_KEY: 'a-secret-key',
  DATABASE_URL: 'postgres://tim:pass-word@localhost/tim',
};

function parse(env: Record<string, string>, needs: Need[] = everything, files: Record<string, string> = {}) {
  return parseConfig(
    {
      env,
      readFile(path) {
        const text = files[path];
        if (text === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
        return text;
      },
    },
    needs,
  );
}

function problemsOf(
  env: Record<string, string>,
  needs: Need[] = everything,
  files: Record<string, string> = {},
) {
  try {
    parse(env, needs, files);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error('the configuration was accepted');
}

describe('configuration', () => {
  test('three variables are enough, and the rest has the defaults of the design', () => {
    const config = parse(good);
    expect(config.apps).toEqual([
      {
        appId: 1_400_000_000,
        secretKey: 'a-secret-key',
        admin: 'administrator',
        origin: 'https://console.tim.qq.com',
        callsPerSecond: 190,
      },
    ]);
    expect(config.redis).toBeUndefined();
    expect(config.http.port).toBe(8080);
    expect(config.poll).toEqual({
      minIntervalMs: 10_000,
      maxIntervalMs: 86_400_000,
      fullReadIntervalMs: 604_800_000,
    });
    expect(config.historyRetentionMs).toBeUndefined();
  });

  test.each([
    ['cn', 'https://console.tim.qq.com'],
    ['sg', 'https://adminapisgp.im.qcloud.com'],
    ['de', 'https://adminapiger.im.qcloud.com'],
  ])('region %s is called at %s', (region, origin) => {
    expect(parse({ ...good, TIM_REGION: region }).apps[0]?.origin).toBe(origin);
  });

  test.each(['/x', '/?y', '/#z', '/v4/sns/group_get'])(
    'an endpoint with %s behind the host is refused, for it would be dropped',
    (rest) => {
      expect(problemsOf({ ...good, TIM_ENDPOINT: `http://127.0.0.1:9${rest}` })).toEqual([
        expect.stringMatching(/^TIM_ENDPOINT must end with the host or its port/),
      ]);
    },
  );

  test('blanks and line ends round a variable do not count, nor does a byte order mark in the file of apps', () => {
    expect(parse({ ...good, TIM_SECRET_KEY: ' a-secret-key\r\n' }).apps[0]?.secretKey).toBe('a-secret-key');
    const apps = '\uFEFF[{"sdkAppId": 7, "secretKey": "k"}]';
    const env = { DATABASE_URL: good.DATABASE_URL, TIM_APPS_FILE: '/apps.json' };
    expect(parse(env, everything, { '/apps.json': apps }).apps[0]?.appId).toBe(7);
  });

  test('hosts that may be asked for are names, in any case, without ports', () => {
    expect(parse(good).http.allowedHosts).toBeUndefined();
    const env = { ...good, HTTP_ALLOWED_HOSTS: 'localhost, TIM.example.com [::1]' };
    expect(parse(env).http.allowedHosts).toEqual(['localhost', 'tim.example.com', '::1']);
    for (const wrong of ['https://tim.example.com', 'tim.example.com:8080', 'tim/x', '*'])
      expect(problemsOf({ ...good, HTTP_ALLOWED_HOSTS: wrong })).toEqual([
        expect.stringMatching(/^HTTP_ALLOWED_HOSTS must name hosts without ports/),
      ]);
  });

  test('callbacks without a signature are allowed in as many words, and only to this machine', () => {
    expect(parse(good).allowUnsignedWebhooks).toBe(false);
    const allowed = { ...good, WEBHOOK_ALLOW_UNSIGNED: 'true' };
    expect(parse(allowed).allowUnsignedWebhooks).toBe(true);
    expect(problemsOf({ ...allowed, WEBHOOK_TOKEN: 'a-token' })).toEqual([expect.stringMatching(/both set/)]);
    expect(problemsOf({ ...allowed, HTTP_HOST: '0.0.0.0' })).toEqual([
      expect.stringMatching(/^WEBHOOK_ALLOW_UNSIGNED needs an HTTP_HOST of the loopback interface/),
    ]);
  });

  test('an endpoint goes before the region', () => {
    const config = parse({ ...good, TIM_REGION: 'sg', TIM_ENDPOINT: 'http://127.0.0.1:9/' });
    expect(config.apps[0]?.origin).toBe('http://127.0.0.1:9');
  });

  test('every bad variable is named at once, each with what to do, and none shows its value', () => {
    const problems = problemsOf({
      TIM_SDK_APP_ID: 'abc-secret',
      TIM_CALLS_PER_SECOND: '200',
      TIM_REGION: 'moon',
      DATABASE_URL: 'mysql://user:hunter22@host/db',
      HTTP_PORT: 'abc',
      POLL_MIN_INTERVAL: '30',
      LOG_LEVEL: 'loud',
    });
    for (const name of [
      'TIM_SDK_APP_ID',
      'TIM_CALLS_PER_SECOND',
      'TIM_REGION',
      'DATABASE_URL',
      'HTTP_PORT',
      'POLL_MIN_INTERVAL',
      'LOG_LEVEL',
    ]) {
      expect(problems.filter((problem) => problem.startsWith(`${name} `))).toHaveLength(1);
    }
    expect(problems.join('\n')).not.toMatch(/abc-secret|hunter22/);
  });

  test('what a command does not need may be missing, and what it needs is asked for', () => {
    expect(parse({ DATABASE_URL: good.DATABASE_URL }, ['database']).apps).toEqual([]);
    expect(problemsOf({}, everything).join('\n')).toMatch(
      /DATABASE_URL[\s\S]*TIM_SDK_APP_ID[\s\S]*TIM_SECRET_KEY/,
    );
  });

  test('an empty variable counts as unset', () => {
    expect(parse({ ...good, REDIS_URL: '', TIM_REGION: '' }).redis).toBeUndefined();
  });

  test('secrets can come from files, without their last line break', () => {
    const { TIM_SECRET_KEY: _, ...rest } = good;
    const config = parse({ ...rest, TIM_SECRET_KEY_FILE: '/run/key' }, everything, {
      '/run/key': 'from-file\n',
    });
    expect(config.apps[0]?.secretKey).toBe('from-file');
  });

  test('a secret given twice, and a file that is missing, are reported', () => {
    expect(problemsOf({ ...good, TIM_SECRET_KEY_FILE: '/run/key' }, everything, { '/run/key': 'x' })).toEqual(
      ['TIM_SECRET_KEY and TIM_SECRET_KEY_FILE are both set; keep one of them.'],
    );
    expect(problemsOf({ ...good, ADMIN_TOKEN_FILE: '/nowhere' })).toEqual([
      'ADMIN_TOKEN_FILE can’t be read (ENOENT).',
    ]);
  });

  test('the least interval may not be greater than the greatest', () => {
    const problems = problemsOf({ ...good, POLL_MIN_INTERVAL: '2h', POLL_MAX_INTERVAL: '1h' });
    expect(problems).toEqual([expect.stringContaining('POLL_MIN_INTERVAL is greater')]);
  });

  test('several apps come from a file, each with its own key and region', () => {
    const file = JSON.stringify([
      { sdkAppId: 1, secretKey: 'one-key' },
      { sdkAppId: 2, secretKeyFile: '/run/two', region: 'sg', callsPerSecond: 50 },
    ]);
    const config = parse({ DATABASE_URL: good.DATABASE_URL, TIM_APPS_FILE: '/apps' }, everything, {
      '/apps': file,
      '/run/two': 'two-key',
    });
    expect(config.apps.map((app) => [app.appId, app.secretKey, app.callsPerSecond])).toEqual([
      [1, 'one-key', 190],
      [2, 'two-key', 50],
    ]);
  });

  test.each([
    ['not JSON', 'key: hunter22', /is not JSON/],
    ['no app', '[]', /holds no app/],
    ['a misspelt field', '[{"sdkAppId":1,"secretKey":"abcd","regoin":"sg"}]', /entry 0/],
    ['an app twice', '[{"sdkAppId":1,"secretKey":"abcd"},{"sdkAppId":1,"secretKey":"abcd"}]', /app 1 twice/],
    ['no key', '[{"sdkAppId":1}]', /secretKey or secretKeyFile/],
  ])('a file of apps with %s is refused without showing it', (_, text, sentence) => {
    const problems = problemsOf({ DATABASE_URL: good.DATABASE_URL, TIM_APPS_FILE: '/apps' }, everything, {
      '/apps': text,
    });
    expect(problems.join('\n')).toMatch(sentence);
    expect(problems.join('\n')).not.toContain('hunter22');
  });

  describe('the source of accounts', () => {
    const source = { ACCOUNTS_SOURCE_URL: 'postgres://r:reader-word@db/shop', ACCOUNTS_QUERY: 'select 1' };
    const shop = { url: source.ACCOUNTS_SOURCE_URL, query: 'select 1' };

    test('is a URL, also from a file, and a query, read every hour by default', () => {
      const config = parse({ ...good, ...source });
      expect(config.apps[0]?.accountSource).toEqual(shop);
      expect(config.accounts.syncIntervalMs).toBe(3_600_000);
      expect(secretsOf(config)).toContain('reader-word');
      const { ACCOUNTS_SOURCE_URL: url, ACCOUNTS_QUERY } = source;
      const fromFile = parse({ ...good, ACCOUNTS_QUERY, ACCOUNTS_SOURCE_URL_FILE: '/url' }, everything, {
        '/url': `${url}\n`,
      });
      expect(fromFile.apps[0]?.accountSource).toEqual(shop);
      expect(parse(good).apps[0]?.accountSource).toBeUndefined();
      expect(
        secretsOf(parse({ ...good, ...source, ACCOUNTS_SOURCE_URL: 'postgres://h/d?password=in-query' })),
      ).toContain('in-query');
    });

    test('needs both halves, but for a command that brings the query along', () => {
      const { ACCOUNTS_SOURCE_URL, ACCOUNTS_QUERY } = source;
      expect(problemsOf({ ...good, ACCOUNTS_QUERY })).toEqual([
        'ACCOUNTS_QUERY is set without ACCOUNTS_SOURCE_URL; give the Postgres to query.',
      ]);
      expect(problemsOf({ ...good, ACCOUNTS_SOURCE_URL })).toEqual([
        'ACCOUNTS_SOURCE_URL is set without ACCOUNTS_QUERY; give the select that names the accounts.',
      ]);
      expect(parse({ ...good, ACCOUNTS_SOURCE_URL }, ['database', 'source-url']).accounts.sourceUrl).toBe(
        ACCOUNTS_SOURCE_URL,
      );
      expect(problemsOf({ ...good, ...source, ACCOUNTS_SOURCE_URL: 'mysql://u:hunter22@h/d' })).toEqual([
        'ACCOUNTS_SOURCE_URL must be a URL such as postgres://user@host:5432/database.',
      ]);
    });

    const apps = (...entries: object[]) =>
      JSON.stringify(entries.map((entry, at) => ({ sdkAppId: at + 1, secretKey: 'the-key', ...entry })));
    const env = { DATABASE_URL: good.DATABASE_URL, TIM_APPS_FILE: '/apps' };

    test('of several apps: each its own query, on a database of its own or on the common one', () => {
      const config = parse({ ...env, ACCOUNTS_SOURCE_URL: shop.url }, everything, {
        '/apps': apps(
          { accountsQuery: 'select a' },
          { accountsQuery: 'select b', accountsSourceUrl: 'postgres://other/b' },
          { accountsQuery: 'select c', accountsSourceUrlFile: '/c' },
          {},
        ),
        '/c': 'postgres://u:from-c-file@other/c\n',
      });
      expect(config.apps.map((app) => app.accountSource)).toEqual([
        { url: shop.url, query: 'select a' },
        { url: 'postgres://other/b', query: 'select b' },
        { url: 'postgres://u:from-c-file@other/c', query: 'select c' },
        undefined,
      ]);
      expect(secretsOf(config)).toContain('from-c-file');
    });

    test.each([
      ['one query for all', source, apps({}), /ACCOUNTS_QUERY and TIM_APPS_FILE are both set/],
      [
        'a query without a URL',
        {},
        apps({ accountsQuery: 'select 1' }),
        /app 1 has accountsQuery, but neither/,
      ],
      [
        'a URL without a query',
        {},
        apps({ accountsSourceUrl: shop.url }),
        /app 1 has accountsSourceUrl without/,
      ],
      [
        'a URL twice',
        {},
        apps({ accountsQuery: 'select 1', accountsSourceUrl: shop.url, accountsSourceUrlFile: '/x' }),
        /has both accountsSourceUrl and accountsSourceUrlFile/,
      ],
      [
        'a file that is missing',
        {},
        apps({ accountsQuery: 'select 1', accountsSourceUrlFile: '/x' }),
        /the accountsSourceUrlFile of app 1 can’t be read \(ENOENT\)/,
      ],
      [
        'no URL',
        {},
        apps({ accountsQuery: 'select 1', accountsSourceUrl: 'reader-word' }),
        /must be a URL such as/,
      ],
    ])('of several apps with %s is refused in a sentence', (_, variables, file, sentence) => {
      const problems = problemsOf({ ...env, ...variables }, everything, { '/apps': file });
      expect(problems).toEqual([expect.stringMatching(sentence)]);
      expect(problems.join()).not.toContain('reader-word');
    });
  });

  test('a password that is no text in a URL is kept all the same', () => {
    const config = parse({ ...good, DATABASE_URL: 'postgres://tim:%zz-word@h/tim' });
    expect(secretsOf(config)).toContain('%zz-word');
  });

  test('REDIS_URL names a server, the nodes of a cluster, or sentinels', () => {
    const redis = (url: string) => parse({ ...good, REDIS_URL: url }).redis;
    expect(redis('rediss://:pw@h:1/2')).toEqual({ kind: 'single', url: 'rediss://:pw@h:1/2' });
    expect(redis('redis+cluster://one:7000,two,[::1]:7002')).toEqual({
      kind: 'cluster',
      nodes: [
        { host: 'one', port: 7000 },
        { host: 'two', port: 6379 },
        { host: '::1', port: 7002 },
      ],
      url: expect.any(String),
      tls: false,
      username: undefined,
      password: undefined,
    });
    expect(redis('rediss+sentinel://tim:p%40ss@one,two:2/the-master?sentinelPassword=w%2Fx')).toEqual({
      kind: 'sentinel',
      sentinels: [
        { host: 'one', port: 26_379 },
        { host: 'two', port: 2 },
      ],
      name: 'the-master',
      sentinelPassword: 'w/x',
      url: expect.any(String),
      tls: true,
      username: 'tim',
      password: 'p@ss',
    });
  });

  test.each([
    ['http://:hunter22@host', /must be a URL such as/],
    ['redis://:hunter22@one,two', /names several hosts; write redis\+cluster/],
    ['redis://:hunter22@one/abc', /names a database that is no number behind its host; write redis:/],
    ['redis+cluster://:hunter22@one:99999', /host1:port,host2:port/],
    ['redis+cluster://:hunter22@one,/3', /host1:port,host2:port/],
    ['redis+cluster://:hunter22@one/3', /has only one/],
    ['redis+sentinel://:hunter22@one,two', /must name the master/],
    ['redis+sentinel://:hunter22%@one,two/name', /must be a URL such as/],
    ['redis+cluster://', /must be a URL such as/],
  ])('the REDIS_URL %j is refused with a sentence that does not show it', (url, sentence) => {
    const [problem] = problemsOf({ ...good, REDIS_URL: url });
    expect(problem).toMatch(/^REDIS_URL /);
    expect(problem).toMatch(sentence);
    expect(problem).not.toMatch(/hunter22/);
  });

  test('the secrets of every REDIS_URL, and of DATABASE_DIRECT_URL, are kept too', () => {
    const urls = [
      'redis+cluster://:p%40ss-word@h,i',
      'redis+sentinel://u:p%40ss-word@h,i/name?sentinelPassword=other%2Fword',
    ];
    for (const url of urls)
      expect(secretsOf(parse({ ...good, REDIS_URL: url }))).toEqual(
        expect.arrayContaining(['p%40ss-word', 'p@ss-word']),
      );
    expect(secretsOf(parse({ ...good, REDIS_URL: urls[1] ?? '' }))).toEqual(
      expect.arrayContaining(['other/word', 'other%2Fword']),
    );
    expect(secretsOf(parse({ ...good, DATABASE_DIRECT_URL: 'postgres://u:direct-word@h/d' }))).toContain(
      'direct-word',
    );
  });

  test('the secrets to keep are the keys, the tokens and the passwords in URLs', () => {
    const config = parse({ ...good, ADMIN_TOKEN: 'sixteen-characters', REDIS_URL: 'redis://:p%40ss@h' });
    expect(secretsOf(config)).toEqual(
      expect.arrayContaining(['a-secret-key', 'sixteen-characters', 'pass-word', 'p%40ss', 'p@ss']),
    );
  });
});

test.each([
  ['90s', 90_000],
  ['15m', 900_000],
  ['24h', 86_400_000],
  ['7d', 604_800_000],
  ['500ms', 500],
  ['1.5h', 5_400_000],
  ['', undefined],
  ['10', undefined],
  ['-1s', undefined],
  ['1 week', undefined],
])('the duration %j is %s milliseconds', (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});
