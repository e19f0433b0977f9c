import { sql } from 'kysely';
import type { Database } from '../db/client.ts';
import { describeProblem, problemOf } from '../db/database-problem.ts';
import { assertSchema, SchemaError } from '../db/migrate.ts';
import { placeOfDatabase } from '../db/place-of-database.ts';
import { assertOwnSession, PoolerError } from '../db/pooler.ts';
import { acquireProcessLock, type ProcessLock } from '../db/process-lock.ts';
import { ensureApp, probeNow, storeIntervals } from '../db/queries/apps.ts';
import { countQueue } from '../db/queries/count-queue.ts';
import { describeJump } from '../db/queries/feed.ts';
import { ensureChangePartitions, monthsAhead } from '../db/queries/history.ts';
import { assertServerVersion } from '../db/server-version.ts';
import { SessionSettingsError } from '../db/session-settings.ts';
import { settleIn } from '../db/settle-in.ts';
import { refusalOf } from '../db/storage-errors.ts';
import type { CallingAppConfig } from '../src/config/app-config.ts';
import type { Config } from '../src/config/config.ts';
import type { Logger } from '../src/log.ts';
import { rateRule } from '../src/schedule/policy.ts';
import { StartError } from '../src/start-error.ts';

/**
 * Sees that the database can be worked with, and that it has what the apps need. Returns the installation's identity.
 * Throws StartError, with one sentence.
 */
export async function prepareDatabase(
  db: Database,
  url: string,
  apps: readonly CallingAppConfig[],
  poll: Config['poll'],
  log: Logger,
): Promise<string> {
  try {
    await sql`select 1`.execute(db);
  } catch (error) {
    if (error instanceof SessionSettingsError) throw new StartError(error.message);
    throw databaseError(error, url, 'DATABASE_URL');
  }
  try {
    await assertServerVersion(db);
    await assertSchema(db);
    return await prepareApps(db, apps, poll, log);
  } catch (error) {
    if (error instanceof SchemaError) throw new StartError(error.message);
    throw error instanceof StartError || problemOf(error) === undefined
      ? error
      : databaseError(error, url, 'DATABASE_URL');
  }
}

/** What is wrong with Postgres, where it is, and what to do. The URL itself, which may hold a password, stays out. */
function databaseError(error: unknown, url: string, variable: string): StartError {
  const place = placeOfDatabase(url);
  const problem = problemOf(error);
  return new StartError(
    problem === undefined
      ? `Postgres at ${place} refuses to work: ${refusalOf(error).reason}; check ${variable}.`
      : describeProblem(problem, { place, variable }),
    error,
  );
}

async function prepareApps(
  db: Database,
  apps: readonly CallingAppConfig[],
  poll: Config['poll'],
  log: Logger,
): Promise<string> {
  // Before anything is polled: rows that are written until then would be passed over by consumers that have read on.
  const { installation, jump } = await settleIn(db);
  const { id, renewed } = installation;
  if (jump !== undefined) log.warn(describeJump(jump));
  if (renewed)
    log.info(
      { installation: id },
      'this database is a copy of another installation’s: it has an identity of its own from now on',
    );
  await prepareFeed(db, log);
  for (const app of apps) {
    await ensureApp(db, app);
    await storeIntervals(db, app.appId, {
      minSeconds: poll.minIntervalMs / 1000,
      maxSeconds: poll.maxIntervalMs / 1000,
    });
    await countQueue(db, app.appId, rateRule);
    // The operator may have fixed the credentials.
    await probeNow(db, app.appId);
  }
  return id;
}

/** Makes the tables of the change feed ready for what is polled. */
async function prepareFeed(db: Database, log: Logger): Promise<void> {
  const { problems } = await ensureChangePartitions(db, monthsAhead);
  const present = problems.find((problem) => problem.present);
  if (present !== undefined) throw new StartError(present.sentence);
  for (const { sentence } of problems) log.warn(sentence);
}

/** Shuts out every daemon that must not work beside this one. Throws StartError when there is one. */
export async function takeDaemonLock(
  config: Config,
  onTaken: (error: StartError) => void,
): Promise<ProcessLock> {
  const url = config.databaseDirectUrl ?? config.databaseUrl ?? '';
  const alone = config.redis === undefined;
  const sentence = alone
    ? 'Another tim-mirror daemon works on this database, and without REDIS_URL there can be only one; stop it, or give both the same REDIS_URL. One whose machine has died keeps its place for up to a minute.'
    : 'A tim-mirror daemon without REDIS_URL works on this database; stop it first, or the two exceed the limit.';
  try {
    await assertOwnSession({ url, isDirect: config.databaseDirectUrl !== undefined });
  } catch (error) {
    if (error instanceof PoolerError) throw new StartError(error.message);
    const name = config.databaseDirectUrl === undefined ? 'DATABASE_URL' : 'DATABASE_DIRECT_URL';
    throw databaseError(error, url, name);
  }
  const lock = await acquireProcessLock({
    url,
    mode: alone ? 'exclusive' : 'shared',
    onTaken: () => onTaken(new StartError(sentence)),
  });
  if (lock === undefined) throw new StartError(sentence);
  return lock;
}
