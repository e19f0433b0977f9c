import { z } from 'zod';
import { parseRedisServers, type RedisServers, redisPasswords } from './redis-servers.ts';
import { type Region, regionOrigins } from './tencent/endpoints.ts';

/** One Tencent Cloud IM application: a lane with its own queues, bucket and budget. */
export interface AppConfig {
  readonly appId: number;
  /** Absent where a command needs no call to the vendor. */
  readonly secretKey: string | undefined;
  /** The app administrator on whose behalf the calls are made. */
  readonly admin: string;
  /** Origin of the vendor's API, e.g. `https://console.tim.qq.com`. */
  readonly origin: string;
  readonly callsPerSecond: number;
}

/** An app that may call the vendor. */
export type CallingAppConfig = AppConfig & { readonly secretKey: string };

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
  readonly http: { readonly host: string; readonly port: number };
  readonly adminToken: string | undefined;
  readonly webhookToken: string | undefined;
  readonly poll: PollConfig;
  /** Undefined keeps history for ever. */
  readonly historyRetentionMs: number | undefined;
  readonly logLevel: LogLevel;
}

/** What a command cannot do without; everything else may be unset. */
export type Need = 'app' | 'credentials' | 'database';

/** Where variables come from and how `…_FILE` variables are read. */
export interface ConfigSource {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly readFile: (path: string) => string;
}

/** The configuration can't be used; `problems` holds one sentence for each bad variable. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
type Unit = keyof typeof unitMs;

/** Reads `90s`, `15m`, `24h`, `7d` (also `500ms`) as milliseconds; undefined when it is not a duration. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text.trim());
  if (match?.[1] === undefined) return undefined;
  return Number(match[1]) * unitMs[match[2] as Unit];
}

const dayMs = unitMs.d;

function duration(bounds: { minMs: number; maxMs: number; says: string }) {
  return z.string().transform((text, context) => {
    const ms = parseDuration(text);
    if (ms === undefined) {
      context.addIssue({ code: 'custom', message: 'is not a duration; write it as 90s, 15m, 24h or 7d' });
      return z.NEVER;
    }
    if (ms < bounds.minMs || ms > bounds.maxMs) {
      context.addIssue({ code: 'custom', message: bounds.says });
      return z.NEVER;
    }
    return ms;
  });
}

function integer(min: number, max: number, says: string) {
  return z
    .string()
    .regex(/^\d+$/, says)
    .transform(Number)
    .refine((value) => value >= min && value <= max, says);
}

function url(protocols: readonly string[], says: string) {
  return z.string().refine((text) => {
    const parsed = URL.parse(text);
    return parsed !== null && protocols.includes(parsed.protocol);
  }, says);
}

const postgresUrl = url(
  ['postgres:', 'postgresql:'],
  'must be a URL such as postgres://user@host:5432/database',
);

const redisServers = z.string().transform((text, context) => {
  const servers = parseRedisServers(text);
  if (typeof servers !== 'string') return servers;
  context.addIssue({ code: 'custom', message: servers });
  return z.NEVER;
});

const regions = Object.keys(regionOrigins) as readonly Region[];
const appIdSays = 'must be the SDKAppID of the app, a whole number such as 1400000000';
const rateSays = 'must be a whole number from 1 to 199: the vendor allows 200 calls a second and app';
const regionSays = `must be one of ${regions.join(', ')}`;
const originSays = 'must be a URL such as https://console.tim.qq.com';

const appId = integer(1, Number.MAX_SAFE_INTEGER, appIdSays);
// 199, not 200: our clock and the vendor's never agree to the millisecond.
const callsPerSecond = integer(1, 199, rateSays);
const region = z.enum(regions, regionSays);
const origin = url(['http:', 'https:'], originSays).transform((text) => new URL(text).origin);
const admin = z.string().min(1, 'must name the app administrator').max(32, 'is longer than 32 bytes');
const secret = z.string().min(1, 'is empty');

const variables = {
  TIM_SDK_APP_ID: appId,
  TIM_SECRET_KEY: secret,
  TIM_ADMIN: admin.default('administrator'),
  TIM_REGION: region.default('cn'),
  TIM_ENDPOINT: origin,
  TIM_CALLS_PER_SECOND: callsPerSecond.default(190),
  TIM_APPS_FILE: z.string(),
  DATABASE_URL: postgresUrl,
  DATABASE_DIRECT_URL: postgresUrl,
  REDIS_URL: redisServers,
  HTTP_HOST: z.string().default('127.0.0.1'),
  HTTP_PORT: integer(0, 65_535, 'must be a port from 0 to 65535 (0: any free one)').default(8080),
  ADMIN_TOKEN: z.string().min(16, 'must have at least 16 characters'),
  WEBHOOK_TOKEN: secret,
  POLL_MIN_INTERVAL: duration({
    minMs: 100,
    maxMs: dayMs,
    says: 'must lie between 100ms and 24h',
  }).default(30_000),
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
  HISTORY_RETENTION: z.preprocess(
    (text) => (text === 'none' ? undefined : text),
    duration({ minMs: dayMs, maxMs: 36_500 * dayMs, says: 'must be none or at least 1d' }).optional(),
  ),
  LOG_LEVEL: z.enum(logLevels, `must be one of ${logLevels.join(', ')}`).default('info'),
};
type Variable = keyof typeof variables;

/** Variables that may also be given as `NAME_FILE`, the path of a file that holds the value. */
const secretVariables: readonly Variable[] = [
  'TIM_SECRET_KEY',
  'DATABASE_URL',
  'DATABASE_DIRECT_URL',
  'REDIS_URL',
  'ADMIN_TOKEN',
  'WEBHOOK_TOKEN',
];

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
});

/** One entry of `TIM_APPS_FILE`, a JSON array of these. */
const appEntry = z
  .strictObject({
    sdkAppId: z.number(appIdSays).int(appIdSays).positive(appIdSays),
    secretKey: secret.optional(),
    secretKeyFile: z.string().optional(),
    admin: admin.default('administrator'),
    region: region.default('cn'),
    endpoint: origin.optional(),
    callsPerSecond: z.number(rateSays).int(rateSays).min(1, rateSays).max(199, rateSays).default(190),
  })
  .refine((entry) => (entry.secretKey === undefined) !== (entry.secretKeyFile === undefined), {
    message: 'needs either secretKey or secretKeyFile',
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

  if (vars.POLL_MIN_INTERVAL > vars.POLL_MAX_INTERVAL) {
    problems.push('POLL_MIN_INTERVAL is greater than POLL_MAX_INTERVAL; make it the smaller one.');
  }
  if (needs.includes('database') && vars.DATABASE_URL === undefined) {
    problems.push(
      'DATABASE_URL is not set; give the Postgres to write to, postgres://user@host:5432/database.',
    );
  }
  const apps = vars.TIM_APPS_FILE
    ? readAppsFile(vars.TIM_APPS_FILE, source, problems)
    : vars.TIM_SDK_APP_ID === undefined
      ? []
      : [
          {
            appId: vars.TIM_SDK_APP_ID,
            secretKey: vars.TIM_SECRET_KEY,
            admin: vars.TIM_ADMIN,
            origin: vars.TIM_ENDPOINT ?? regionOrigins[vars.TIM_REGION],
            callsPerSecond: vars.TIM_CALLS_PER_SECOND,
          },
        ];
  const namesNoApp = vars.TIM_APPS_FILE === undefined && vars.TIM_SDK_APP_ID === undefined;
  if (namesNoApp && (needs.includes('app') || needs.includes('credentials'))) {
    problems.push(
      'TIM_SDK_APP_ID is not set; give the SDKAppID that the vendor’s console shows for the app.',
    );
  }
  if (needs.includes('credentials') && !vars.TIM_APPS_FILE && vars.TIM_SECRET_KEY === undefined) {
    problems.push('TIM_SECRET_KEY is not set; give the key that the vendor’s console shows for the app.');
  }
  if (problems.length > 0) throw new ConfigError(problems);

  return Object.freeze({
    apps,
    databaseUrl: vars.DATABASE_URL,
    databaseDirectUrl: vars.DATABASE_DIRECT_URL,
    redis: vars.REDIS_URL,
    http: { host: vars.HTTP_HOST, port: vars.HTTP_PORT },
    adminToken: vars.ADMIN_TOKEN,
    webhookToken: vars.WEBHOOK_TOKEN,
    poll: {
      minIntervalMs: vars.POLL_MIN_INTERVAL,
      maxIntervalMs: vars.POLL_MAX_INTERVAL,
      fullReadIntervalMs: vars.FULL_READ_INTERVAL,
    },
    historyRetentionMs: vars.HISTORY_RETENTION,
    logLevel: vars.LOG_LEVEL,
  });
}

/** The values that no log line, error or page may ever show. */
export function secretsOf(config: Config): readonly string[] {
  const passwords = [config.databaseUrl, config.databaseDirectUrl].map((text) => {
    const password = text === undefined ? '' : (URL.parse(text)?.password ?? '');
    return [password, decodeURIComponent(password)];
  });
  return [
    ...config.apps.map((app) => app.secretKey ?? ''),
    config.adminToken ?? '',
    config.webhookToken ?? '',
    ...passwords.flat(),
    ...(config.redis === undefined ? [] : redisPasswords(config.redis)),
  ].filter((text) => text.length >= 4);
}

function resolveFiles(source: ConfigSource, problems: string[]): Record<string, string | undefined> {
  const env: Record<string, string | undefined> = {};
  for (const name of Object.keys(variables) as Variable[]) {
    // An empty variable is what an unset one looks like in a Compose file or a ConfigMap.
    const value = source.env[name];
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
      env[name] = source.readFile(path).trim();
    } catch (error) {
      problems.push(`${name}_FILE can’t be read (${errorCode(error)}).`);
    }
  }
  if (env['TIM_APPS_FILE'] && env['TIM_SDK_APP_ID']) {
    problems.push('TIM_APPS_FILE and TIM_SDK_APP_ID are both set; keep one of them.');
  }
  return env;
}

function readAppsFile(path: string, source: ConfigSource, problems: string[]): AppConfig[] {
  let json: unknown;
  try {
    json = JSON.parse(source.readFile(path));
  } catch (error) {
    // A JSON syntax error quotes the text it fell over, which may be a key.
    const why = error instanceof SyntaxError ? 'it is not JSON' : errorCode(error);
    problems.push(`TIM_APPS_FILE can’t be read (${why}).`);
    return [];
  }
  const entries = z.array(appEntry).min(1, 'holds no app').safeParse(json);
  if (!entries.success) {
    for (const issue of entries.error.issues) {
      const where = issue.path.length === 0 ? '' : ` entry ${issue.path.join('.')}`;
      problems.push(`TIM_APPS_FILE${where} ${issue.message}.`);
    }
    return [];
  }
  const ids = entries.data.map((entry) => entry.sdkAppId);
  const twice = ids.find((id, index) => ids.indexOf(id) !== index);
  if (twice !== undefined) problems.push(`TIM_APPS_FILE names app ${twice} twice.`);
  return entries.data.map((entry) => ({
    appId: entry.sdkAppId,
    secretKey: entry.secretKey ?? readSecret(entry.secretKeyFile, entry.sdkAppId, source, problems),
    admin: entry.admin,
    origin: entry.endpoint ?? regionOrigins[entry.region],
    callsPerSecond: entry.callsPerSecond,
  }));
}

function readSecret(path: string | undefined, app: number, source: ConfigSource, problems: string[]) {
  try {
    return source.readFile(path ?? '').trim();
  } catch (error) {
    problems.push(`TIM_APPS_FILE: the secretKeyFile of app ${app} can’t be read (${errorCode(error)}).`);
    return undefined;
  }
}

function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'it can’t be opened';
}
