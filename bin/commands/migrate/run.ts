import { grantToDaemon } from '../../../db/daemon-role.ts';
import { migrate } from '../../../db/migrate.ts';
import { describeJump } from '../../../db/queries/feed.ts';
import { assertServerVersion } from '../../../db/server-version.ts';
import { migrationLimits } from '../../../db/session-limits.ts';
import { migratePostgresQueues } from '../../../workers/queues.ts';
import { readEnvironment, withDatabase } from '../../environment.ts';

interface MigrateCommandOptions {
  readonly restored?: boolean;
  readonly daemonRole?: string;
}

/** `migrate [--restored] [--daemon-role <role>]` */
export async function migrateCommand(options: MigrateCommandOptions = {}): Promise<void> {
  const { daemonRole } = options;
  const environment = readEnvironment(['database']);
  const { databaseUrl, databaseDirectUrl } = environment.config;
  const work = async (db: Parameters<typeof migrate>[0]) => {
    await assertServerVersion(db);
    const report = await migrate(db, {
      say: (sentence) => process.stderr.write(`${sentence}\n`),
      restored: options.restored === true,
    });
    // With REDIS_URL too: the daemon may be started without it tomorrow, and empty tables cost nothing.
    const queuesUrl = databaseDirectUrl ?? databaseUrl;
    if (queuesUrl !== undefined) await migratePostgresQueues(queuesUrl);
    if (daemonRole !== undefined) await db.transaction().execute((trx) => grantToDaemon(trx, daemonRole));
    const done = report.applied.length === 0 ? 'nothing to do' : `applied ${report.applied.join(', ')}`;
    process.stdout.write(`schema is at ${report.version}: ${done}\n`);
    if (report.jump !== undefined) process.stdout.write(`${describeJump(report.jump)}\n`);
  };
  // A long migration is none for a pooler, which may abort what takes long.
  await withDatabase(environment, work, { direct: true, limits: migrationLimits });
}
