import { z } from 'zod';
import { type LogLevel, logLevels } from '../log.ts';
import { isCommonText } from '../scrubber.ts';
import type { AppConfig, ConfigSource } from './app-config.ts';
import { pairOf, readAppsFile } from './apps-file.ts';
import { regionOrigins } from './endpoints.ts';
import { freshFiles } from './fresh-files.ts';
import { isLoopback } from './loopback.ts';
import { asWeUseIt } from './postgres-url.ts';
import { readProxies } from './proxies.ts';
import { readFailure } from './read-failure.ts';
import { type RedisServers, redisPasswords } from './redis-servers.ts';
import { passwordsIn } from './url-passwords.ts';
import {
  admin,
  appId,
  callsPerSecond,
  dayMs,
  defaultCallsPerSecond,
  defaultMinIntervalSeconds,
  duration,
  hostNames,
  integer,
  origin,
  postgresUrl,
  redisServers,
  region,
  secret,
} from './values.ts';

/** How often accounts are read; milliseconds. */
export interface PollConfig {
  readonly minIntervalMs: number;
  readonly maxIntervalMs: number;
  readonly fullReadIntervalMs: number;
}

/** Everything the environment says, checked. Frozen; secrets have no default. */
export interface Config {
  readonly apps: readonly AppConfig[];
  readonly databaseUrl: string | undefined;
  /** Postgres without the pooler that `databaseUrl` may name, for what needs a session of its own. */
  readonly databaseDirectUrl: string | undefined;
  /** Undefined means: no Redis, one process only. */
  readonly redis: RedisServers | undefined;
  readonly http: {
    readonly host: string;
    readonly port: number;
    /** Hosts that may be asked for with the admin token; undefined allows all. */
    readonly allowedHosts: readonly string[] | undefined;
  };
  readonly adminToken: string | undefined;
  readonly webhookToken: string | undefined;
  /** Whether callbacks without a signature are taken from programs of this machine. */
  readonly allowUnsignedWebhooks: boolean;
  /** Whether accounts that callbacks and answers name are enrolled. */
  readonly discoverAccounts: boolean;
  /** Of an app, those that callbacks name: their bodies are not signed. */
  readonly discoverAccountsPerHour: number;
  readonly poll: PollConfig;
  readonly accounts: {
    /** For queries given without a URL of their own. */
    readonly sourceUrl: string | undefined;
    readonly syncIntervalMs: number;
  };
  /** Undefined keeps history for ever. */
  readonly historyRetentionMs: number | undefined;
  readonly logLevel: LogLevel;
}

/**
 * What a command cannot do without; everything else may be unset. With `source-url` it brings the query to the source
 * of accounts along.
 */
export type Need = 'app' | 'credentials' | 'database' | 'source-url';

/** The configuration can't be used; `problems` holds one sentence for each bad variable. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}

const yesOrNo = z
  .enum(['true', 'false'], 'must be true or false')
  .default('false')
  .transform((text) => text === 'true');

const variables = {
  TIM_SDK_APP_ID: appId,
  TIM_SECRET_KEY: secret,
  TIM_ADMIN: admin.default('administrator'),
  TIM_REGION: region.default('cn'),
  TIM_ENDPOINT: origin,
  TIM_CALLS_PER_SECOND: callsPerSecond.default(defaultCallsPerSecond),
  TIM_APPS_FILE: z.string(),
  DATABASE_URL: postgresUrl,
  DATABASE_DIRECT_URL: postgresUrl,
  REDIS_URL: redisServers,
  HTTP_HOST: z.string().default('127.0.0.1'),
  HTTP_PORT: integer(0, 65_535, 'must be a port from 0 to 65535 (0: any free one)').default(8080),
  HTTP_ALLOWED_HOSTS: hostNames.optional(),
  ADMIN_TOKEN: z.string().min(16, 'must have at least 16 characters'),
  WEBHOOK_TOKEN: secret,
  WEBHOOK_ALLOW_UNSIGNED: yesOrNo,
  DISCOVER_ACCOUNTS: yesOrNo,
  DISCOVER_ACCOUNTS_PER_HOUR: integer(0, 1_000_000, 'must be a whole number up to 1000000').default(1000),
  POLL_MIN_INTERVAL: duration({
    minMs: 100,
    maxMs: dayMs,
    says: 'must lie between 100ms and 24h',
  }).default(defaultMinIntervalSeconds * 1000),
  POLL_MAX_INTERVAL: duration({
    minMs: 1000,
    maxMs: 30 * dayMs,
    says: 'must lie between 1s and 30d',
  }).default(dayMs),
  FULL_READ_INTERVAL: duration({
    minMs: 60_000,
    maxMs: 365 * dayMs,
    says: 'must lie between 1m and 365d',
  }).default(7 * dayMs),
  ACCOUNTS_SOURCE_URL: postgresUrl,
  ACCOUNTS_QUERY: secret,
  ACCOUNTS_SYNC_INTERVAL: duration({
    minMs: 1000,
    maxMs: dayMs,
    says: 'must lie between 1s and 24h',
  }).default(3_600_000),
  HISTORY_RETENTION: z.preprocess(
    (text) => (text === 'none' ? undefined : text),
    duration({ minMs: dayMs, maxMs: 36_500 * dayMs, says: 'must be none or at least 1d' }).optional(),
  ),
  LOG_LEVEL: z.enum(logLevels, `must be one of ${logLevels.join(', ')}`).default('info'),
};
type Variable = keyof typeof variables;

/** The variables there are; README and `--help` name each. */
export const variableNames: readonly string[] = Object.keys(variables);

/** Variables that may also be given as `NAME_FILE`, the path of a file that holds the value. */
const secretVariables: readonly Variable[] = [
  'TIM_SECRET_KEY',
  'DATABASE_URL',
  'DATABASE_DIRECT_URL',
  'REDIS_URL',
  'ADMIN_TOKEN',
  'WEBHOOK_TOKEN',
  'ACCOUNTS_SOURCE_URL',
];

const postgresVariables: ReadonlySet<Variable> = new Set([
  'DATABASE_URL',
  'DATABASE_DIRECT_URL',
  'ACCOUNTS_SOURCE_URL',
]);

const environment = z.object({
  ...variables,
  TIM_SDK_APP_ID: variables.TIM_SDK_APP_ID.optional(),
  TIM_SECRET_KEY: variables.TIM_SECRET_KEY.optional(),
  TIM_ENDPOINT: variables.TIM_ENDPOINT.optional(),
  TIM_APPS_FILE: variables.TIM_APPS_FILE.optional(),
  DATABASE_URL: variables.DATABASE_URL.optional(),
  DATABASE_DIRECT_URL: variables.DATABASE_DIRECT_URL.optional(),
  REDIS_URL: variables.REDIS_URL.optional(),
  ADMIN_TOKEN: variables.ADMIN_TOKEN.optional(),
  WEBHOOK_TOKEN: variables.WEBHOOK_TOKEN.optional(),
  ACCOUNTS_SOURCE_URL: variables.ACCOUNTS_SOURCE_URL.optional(),
  ACCOUNTS_QUERY: variables.ACCOUNTS_QUERY.optional(),
});

/**
 * Checks the environment and returns the configuration a command needs.
 * Throws one ConfigError that names every bad variable; no message holds a value that may be secret.
 */
export function parseConfig(source: ConfigSource, needs: readonly Need[]): Config {
  const problems: string[] = [];
  const env = resolveFiles(source, problems);
  const parsed = environment.safeParse(env);
  if (!parsed.success) {
    for (const issue of parsed.error.issues) problems.push(`${String(issue.path[0])} ${issue.message}.`);
    throw new ConfigError(problems);
  }
  const vars = parsed.data;
  checkCallbacks(vars, problems);
  if (vars.POLL_MIN_INTERVAL > vars.POLL_MAX_INTERVAL) {
    problems.push('POLL_MIN_INTERVAL is greater than POLL_MAX_INTERVAL; make it the smaller one.');
  }
  checkNeeds(vars, needs, source, problems);
  checkAccountSource(vars, needs, problems);
  const apps = readApps(vars, source, problems);
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze(configOf(vars, apps));
}

type Variables = z.infer<typeof environment>;

function checkCallbacks(vars: Variables, problems: string[]): void {
  if (!vars.WEBHOOK_ALLOW_UNSIGNED) return;
  if (vars.WEBHOOK_TOKEN !== undefined) {
    problems.push('WEBHOOK_ALLOW_UNSIGNED and WEBHOOK_TOKEN are both set; keep one of them.');
  } else if (!isLoopback(vars.HTTP_HOST)) {
    problems.push(
      'WEBHOOK_ALLOW_UNSIGNED needs an HTTP_HOST of the loopback interface; others reach this one, so set WEBHOOK_TOKEN.',
    );
  }
}

/** What the command can't do without. */
function checkNeeds(vars: Variables, needs: readonly Need[], source: ConfigSource, problems: string[]): void {
  if (needs.includes('database') && vars.DATABASE_URL === undefined) {
    const libpq = source.env['PGHOST'] === undefined ? '' : ' PGHOST and its kin are not read.';
    problems.push(
      `DATABASE_URL is not set; give the Postgres to write to, postgres://user@host:5432/database.${libpq}`,
    );
  }
  if (vars.TIM_APPS_FILE) return;
  const needsCredentials = needs.includes('credentials');
  if (vars.TIM_SDK_APP_ID === undefined && (needs.includes('app') || needsCredentials)) {
    problems.push(
      'TIM_SDK_APP_ID is not set; give the SDKAppID that the vendor’s console shows for the app.',
    );
  }
  if (needsCredentials && vars.TIM_SECRET_KEY === undefined) {
    problems.push('TIM_SECRET_KEY is not set; give the key that the vendor’s console shows for the app.');
  }
}

function checkAccountSource(vars: Variables, needs: readonly Need[], problems: string[]): void {
  const { TIM_APPS_FILE: file, ACCOUNTS_QUERY: query, ACCOUNTS_SOURCE_URL: url } = vars;
  if (query !== undefined && file) {
    problems.push(
      'ACCOUNTS_QUERY and TIM_APPS_FILE are both set; give each app its own query in the file, as accountsQuery.',
    );
  } else if (query !== undefined && url === undefined) {
    problems.push('ACCOUNTS_QUERY is set without ACCOUNTS_SOURCE_URL; give the Postgres to query.');
  } else if (query === undefined && url !== undefined && !file && !needs.includes('source-url')) {
    problems.push(
      'ACCOUNTS_SOURCE_URL is set without ACCOUNTS_QUERY; give the select that names the accounts.',
    );
  }
}

/** The apps of the file, or the one that the variables name. */
function readApps(vars: Variables, source: ConfigSource, problems: string[]): readonly AppConfig[] {
  const proxies = readProxies(source.env, problems);
  const apps = vars.TIM_APPS_FILE
    ? readAppsFile(vars.TIM_APPS_FILE, vars.ACCOUNTS_SOURCE_URL, source, problems)
    : appOf(vars);
  return proxies === undefined ? apps : apps.map((app) => ({ ...app, proxies }));
}

function appOf(vars: Variables): readonly AppConfig[] {
  if (vars.TIM_SDK_APP_ID === undefined) return [];
  return [
    {
      appId: vars.TIM_SDK_APP_ID,
      secretKey: vars.TIM_SECRET_KEY,
      admin: vars.TIM_ADMIN,
      origin: vars.TIM_ENDPOINT ?? regionOrigins[vars.TIM_REGION],
      callsPerSecond: vars.TIM_CALLS_PER_SECOND,
      accountSource: pairOf(vars.ACCOUNTS_SOURCE_URL, vars.ACCOUNTS_QUERY),
    },
  ];
}

function configOf(vars: Variables, apps: readonly AppConfig[]): Config {
  return {
    apps,
    databaseUrl: vars.DATABASE_URL,
    databaseDirectUrl: vars.DATABASE_DIRECT_URL,
    redis: vars.REDIS_URL,
    http: { host: vars.HTTP_HOST, port: vars.HTTP_PORT, allowedHosts: vars.HTTP_ALLOWED_HOSTS },
    adminToken: vars.ADMIN_TOKEN,
    webhookToken: vars.WEBHOOK_TOKEN,
    allowUnsignedWebhooks: vars.WEBHOOK_ALLOW_UNSIGNED,
    discoverAccounts: vars.DISCOVER_ACCOUNTS,
    discoverAccountsPerHour: vars.DISCOVER_ACCOUNTS_PER_HOUR,
    poll: {
      minIntervalMs: vars.POLL_MIN_INTERVAL,
      maxIntervalMs: vars.POLL_MAX_INTERVAL,
      fullReadIntervalMs: vars.FULL_READ_INTERVAL,
    },
    accounts: { sourceUrl: vars.ACCOUNTS_SOURCE_URL, syncIntervalMs: vars.ACCOUNTS_SYNC_INTERVAL },
    historyRetentionMs: vars.HISTORY_RETENTION,
    logLevel: vars.LOG_LEVEL,
  };
}

/** The values that no log line, error or page may ever show. */
export function secretsOf(config: Config): readonly string[] {
  return namedSecrets(config).map(({ secret }) => secret);
}

/** The variables whose secret may occur in ordinary text by chance, so that it can't be removed wherever it appears. */
export function commonSecrets(config: Config): readonly string[] {
  const common = namedSecrets(config).filter(({ secret }) => isCommonText(secret));
  return [...new Set(common.map(({ name }) => name))];
}

function namedSecrets(config: Config): readonly { readonly name: string; readonly secret: string }[] {
  const urls = {
    DATABASE_URL: config.databaseUrl,
    DATABASE_DIRECT_URL: config.databaseDirectUrl,
    ACCOUNTS_SOURCE_URL: config.accounts.sourceUrl,
  };
  const named = [
    ...config.apps.map((app) => ['TIM_SECRET_KEY', app.secretKey]),
    ...config.apps.flatMap(({ proxies }) =>
      [proxies?.https, proxies?.http].flatMap((url) =>
        url === undefined ? [] : passwordsIn(url).map((password) => ['HTTPS_PROXY', password]),
      ),
    ),
    ['ADMIN_TOKEN', config.adminToken],
    ['WEBHOOK_TOKEN', config.webhookToken],
    ...Object.entries(urls).flatMap(([name, url]) =>
      url === undefined ? [] : passwordsIn(url).map((password) => [name, password]),
    ),
    ...config.apps.flatMap(({ accountSource }) =>
      accountSource === undefined
        ? []
        : passwordsIn(accountSource.url).map((password) => ['ACCOUNTS_SOURCE_URL', password]),
    ),
    ...(config.redis === undefined
      ? []
      : redisPasswords(config.redis).map((password) => ['REDIS_URL', password])),
  ];
  return named.flatMap(([name = '', secret]) =>
    secret === undefined || secret === '' ? [] : [{ name, secret }],
  );
}

function resolveFiles(source: ConfigSource, problems: string[]): Record<string, string | undefined> {
  const env: Record<string, string | undefined> = {};
  for (const name of Object.keys(variables) as Variable[]) {
    // An empty variable is what an unset one looks like in a Compose file or a ConfigMap.
    const value = source.env[name]?.trim();
    env[name] = value === '' ? undefined : value;
  }
  for (const name of secretVariables) {
    const path = source.env[`${name}_FILE`];
    if (!path) continue;
    if (env[name] !== undefined) {
      problems.push(`${name} and ${name}_FILE are both set; keep one of them.`);
      continue;
    }
    try {
      const read = () => source.readFile(path);
      const text = read().trim();
      const value = postgresVariables.has(name) ? asWeUseIt(text) : text;
      env[name] = value;
      freshFiles.remember(value, `${name}_FILE`, read);
    } catch (error) {
      problems.push(`${name}_FILE can’t be read (${readFailure(error)}).`);
    }
  }
  if (env['TIM_APPS_FILE'] && env['TIM_SDK_APP_ID']) {
    problems.push('TIM_APPS_FILE and TIM_SDK_APP_ID are both set; keep one of them.');
  }
  return env;
}
