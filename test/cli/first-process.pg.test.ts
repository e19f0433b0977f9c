import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { runCommand } from '../support/daemon.ts';
import { createTestDatabase } from '../support/database.ts';
import { waitFor } from '../support/wait-for.ts';

const mapped = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
const through = ['unshare', '--pid', '--fork', '--kill-child', ...mapped];
const mayUnshare = spawnSync('unshare', [...through.slice(1), 'true']).status === 0;
if (!mayUnshare) process.stderr.write('skipped: no user may make a namespace of processes on this machine\n');

test.skipIf(!mayUnshare)('migrate as the first process of a container ends at SIGTERM', async () => {
  await using database = await createTestDatabase({ migrated: false });
  await database.db.transaction().execute(async (trx) => {
    await sql`select pg_advisory_xact_lock(hashtext('tim-mirror migrate'))`.execute(trx);
    const migrate = runCommand(['migrate'], { DATABASE_URL: database.url }, { through });
    await waitFor('migrate to wait for the lock', async () => {
      const { rows } = await sql`
        select from pg_stat_activity
        where datname = current_database() and application_name = 'tim-mirror command'
      `.execute(database.db);
      return rows.length > 0;
    });
    const { pid = 0 } = migrate.child;
    const inner = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim());
    process.kill(inner, 'SIGTERM');
    expect((await migrate.ended).code).toBe(143);
  });
});
