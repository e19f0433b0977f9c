import { readFileSync } from 'node:fs';
import { connect, type Database } from '../db/client.ts';
import { assertSchema } from '../db/migrate.ts';
import { readApps } from '../db/queries/apps.ts';
import { commandLimits } from '../db/session-limits.ts';
import { type Build, readBuild } from '../src/build.ts';
import type { AppConfig } from '../src/config/app-config.ts';
import { type Config, ConfigError, type Need, parseConfig, secretsOf } from '../src/config/config.ts';
import { createLogger, type Logger } from '../src/log.ts';
import { createScrubber, type Scrubber } from '../src/scrubber.ts';
import { CommandError } from './command-error.ts';
import { onFirstSignal } from './signals.ts';

/** What a command works with: its configuration, and a log that keeps secrets. */
export interface Environment {
  readonly config: Config;
  readonly log: Logger;
  readonly scrubber: Scrubber;
}

/** Reads the process environment, once, for a command. Throws ConfigError. */
export function readEnvironment(needs: readonly Need[], overrides: NodeJS.ProcessEnv = {}): Environment {
  const config = parseConfig(
    { env: { ...process.env, ...overrides }, readFile: (path) => readFileSync(path, 'utf8') },
    needs,
  );
  const scrubber = createScrubber(secretsOf(config));
  return { config, scrubber, log: createLogger({ level: config.logLevel, scrubber }) };
}

/** Which program this is, as the environment or the checkout says. */
export function currentBuild(): Build {
  return readBuild(process.env);
}

/** The app a command is about: the only one, or the one named by `--app`. */
export function chooseApp(config: Config, appId: number | undefined): AppConfig {
  if (appId === undefined) {
    const [only, ...others] = config.apps;
    if (only !== undefined && others.length === 0) return only;
    const ids = config.apps.map((app) => app.appId).join(', ');
    throw new CommandError(`Several apps are configured (${ids}); name one with --app.`, 2);
  }
  const app = config.apps.find((candidate) => candidate.appId === appId);
  if (app === undefined) {
    const ids = config.apps.map((each) => each.appId);
    throw new CommandError(`App ${appId} is not configured; ${listApps(ids)}.`, 2);
  }
  return app;
}

/**
 * The app that a command about the mirror alone is about: as `chooseApp` says, or where the environment names none, the
 * only one in the database, or the one named by `--app`.
 */
async function chooseMirroredApp(db: Database, { apps }: Config, appId: number | undefined): Promise<number> {
  const mirrored = apps.length > 0 ? apps : await readApps(db);
  const ids = mirrored.map((app) => app.appId);
  if (appId !== undefined && ids.includes(appId)) return appId;
  if (appId !== undefined)
    throw new CommandError(`App ${appId} is neither configured nor in the database; ${listApps(ids)}.`, 2);
  const [only, ...others] = ids;
  if (only === undefined)
    throw new CommandError('The database has no app yet; set TIM_SDK_APP_ID and enrol accounts.', 2);
  if (others.length > 0)
    throw new CommandError(`There are several apps (${ids.join(', ')}); name one with --app.`, 2);
  return only;
}

function listApps(ids: readonly number[]): string {
  return ids.length === 0 ? 'none is' : `these are: ${ids.join(', ')}`;
}

/** What a command about an app works with. */
interface AppCommand {
  readonly db: Database;
  readonly app: AppConfig;
  readonly environment: Environment;
}

export interface AppCommandOptions {
  readonly needs?: readonly Need[];
  readonly overrides?: NodeJS.ProcessEnv;
}

/** How a command about a configured app begins: environment, app, and a database whose schema is this program's. */
export async function withApp<T>(
  appId: number | undefined,
  use: (command: AppCommand) => Promise<T>,
  { needs = ['app', 'database'], overrides = {} }: AppCommandOptions = {},
): Promise<T> {
  const environment = readEnvironment(needs, overrides);
  const app = chooseApp(environment.config, appId);
  return withDatabase(environment, async (db) => {
    await assertSchema(db);
    return use({ db, app, environment });
  });
}

/** How a command that only reads the mirror begins: it needs no app in the environment, if the database has but one. */
export async function withMirroredApp<T>(
  appId: number | undefined,
  use: (db: Database, appId: number) => Promise<T>,
): Promise<T> {
  const environment = readEnvironment(['database']);
  return withDatabase(environment, async (db) => {
    await assertSchema(db);
    return use(db, await chooseMirroredApp(db, environment.config, appId));
  });
}

/** Aborts at the first SIGINT or SIGTERM, so that a command can end what it has begun; a second one ends the process. */
export function abortOnSignals(): AbortSignal {
  const ended = new AbortController();
  onFirstSignal(() => {
    ended.abort();
  });
  return ended.signal;
}

/**
 * Runs `use` with a connection to the database and closes it, whatever happens; past the pooler where `direct` asks for
 * that and there is one.
 */
export async function withDatabase<T>(
  { config, log }: Environment,
  use: (db: Database) => Promise<T>,
  { direct = false, limits = commandLimits } = {},
): Promise<T> {
  if (config.databaseUrl === undefined) throw new ConfigError(['DATABASE_URL is not set.']);
  const db = connect({
    url: direct ? (config.databaseDirectUrl ?? config.databaseUrl) : config.databaseUrl,
    applicationName: 'tim-mirror command',
    maxConnections: 4,
    onIdleError: (error) => log.debug({ err: error }, 'idle connection to postgres lost'),
    limits,
  });
  try {
    return await use(db);
  } finally {
    await db.destroy();
  }
}
