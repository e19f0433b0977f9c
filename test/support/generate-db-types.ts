// Writes db/schema.ts from a freshly migrated database: npm run db:types
import { spawnSync } from 'node:child_process';
import { connect } from '../../db/client.ts';
import { migrate } from '../../db/migrate.ts';
import { startPostgres } from '../../dev/local-servers/postgres.ts';

const postgres = await startPostgres({ durable: false });
const db = connect({ url: postgres.url(), applicationName: 'db:types', onIdleError: () => undefined });
await migrate(db);
await db.destroy();
const { status } = spawnSync('kysely-codegen', ['--url', postgres.url()], { stdio: 'inherit' });
await postgres.stop();
process.exit(status ?? 1);
