import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { daemonEnvironment, runCommand } from '../support/daemon.ts';
import { createTestDatabase } from '../support/database.ts';
import { waitFor } from '../support/wait-for.ts';
import { createWorld } from '../support/world.ts';

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

test('SIGTERM to npx ends the daemon, which gives its accounts back first', async () => {
  await using world = await createWorld();
  const cache = mkdtempSync(join(tmpdir(), 'tim-npx-'));
  const npx = spawn('npx', ['tim-mirror', 'start'], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    env: {
      ...daemonEnvironment({ vendor: world.vendor, databaseUrl: world.database.url }),
      npm_config_cache: cache,
      npm_config_offline: 'true',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  npx.stdout.on('data', (chunk: Buffer) => {
    said += chunk;
  });
  await waitFor('the daemon to run', () => said.includes('tim-mirror runs'));
  npx.kill('SIGTERM');
  await waitFor('the daemon to say that it has stopped', () => said.includes('"msg":"stopped"'));
  rmSync(cache, { recursive: true, force: true });
});
