import { randomBytes } from 'node:crypto';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { connect } from '../../db/client.ts';
import { migrate } from '../../db/migrate.ts';
import { LocalServerError } from '../../dev/local-servers/local-server-error.ts';
import { sweepAbandonedFolders } from '../../dev/local-servers/owned-folder.ts';
import { startPostgres } from '../../dev/local-servers/postgres.ts';
import { ensureRedisProgram } from '../../dev/local-servers/redis.ts';
import { migratePostgresQueues } from '../../workers/queues.ts';
import { findChromium } from './chromium.ts';
import { findPgBouncer } from './pgbouncer.ts';
import { findPostgresPrograms } from './postgres-programs.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** URL of a server on which tests make databases of their own. */
    readonly postgresUrl: string;
    /** Name of a migrated database to copy. */
    readonly templateDatabase: string;
    /** Where Chromium is; empty where there is none and none can be installed. */
    readonly chromium: string;
    /** Where PgBouncer is; empty where there is none and none can be installed. */
    readonly pgBouncer: string;
    /** Folder of PostgreSQL's programs, pg_dump among them; empty where there is none and none can be installed. */
    readonly postgresPrograms: string;
  }
}

const say = (sentence: string) => void process.stderr.write(`${sentence}\n`);

/** One Postgres for the whole run, with a migrated database that each test file gets a copy of. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const chosen = new Set(project.vitest.projects.map(({ name }) => name));
  if (chosen.size === 1 && chosen.has('unit')) return async () => undefined;
  try {
    return await startServers(project, chosen);
  } catch (error) {
    if (!(error instanceof LocalServerError)) throw error;
    // A sentence says what to install; a stack would bury it.
    process.stderr.write(`\n${error.message}\n\n`);
    process.exit(1);
  }
}

async function startServers(project: TestProject, chosen: ReadonlySet<string>): Promise<() => Promise<void>> {
  await sweepAbandonedFolders();
  if (process.env['TEST_REDIS_URL'] === undefined && (chosen.has('redis') || chosen.has('e2e'))) {
    ensureRedisProgram(say);
  }
  const given = process.env['TEST_DATABASE_URL'];
  const postgres = given === undefined ? await startPostgres({ durable: false }) : undefined;
  const serverUrl = given ?? postgres?.url() ?? '';
  const template = `tim_template_${randomBytes(6).toString('hex')}`;
  await command(serverUrl, `create database ${template}`);
  const url = databaseUrl(serverUrl, template);
  const db = connect({ url, applicationName: 'tim-mirror tests', onIdleError: () => undefined });
  await migrate(db);
  await db.destroy();
  await migratePostgresQueues(url);
  project.provide('postgresUrl', serverUrl);
  project.provide('templateDatabase', template);
  project.provide('chromium', chosen.has('e2e') ? findChromium(say) : '');
  project.provide('pgBouncer', chosen.has('e2e') ? findPgBouncer(say) : '');
  project.provide('postgresPrograms', chosen.has('e2e') ? findPostgresPrograms(say) : '');
  return async () => {
    await command(serverUrl, `drop database ${template}`);
    await postgres?.stop();
  };
}

function databaseUrl(serverUrl: string, database: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${database}`;
  return url.href;
}

async function command(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}
