import { migrate } from '../../db/migrate.ts';
import { assertServerVersion } from '../../db/server-version.ts';
import { migratePostgresQueues } from '../../workers/queues.ts';
import { readEnvironment, withDatabase } from '../environment.ts';

/** `migrate` */
export async function migrateCommand(): Promise<void> {
  const environment = readEnvironment(['database']);
  const { databaseUrl, redis } = environment.config;
  await withDatabase(environment, async (db) => {
    await assertServerVersion(db);
    const report = await migrate(db);
    // Without Redis the queues live in the database too.
    if (redis === undefined && databaseUrl !== undefined) await migratePostgresQueues(databaseUrl);
    const done = report.applied.length === 0 ? 'nothing to do' : `applied ${report.applied.join(', ')}`;
    process.stdout.write(`schema is at ${report.version}: ${done}\n`);
  });
}
