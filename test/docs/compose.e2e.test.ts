import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { expect, inject, test } from 'vitest';
import { parse } from 'yaml';
import { connect } from '../../db/client.ts';
import { startPostgres } from '../../dev/local-servers/postgres.ts';
import { runCommand } from '../support/daemon.ts';

const programs = inject('postgresPrograms');

interface Compose {
  readonly configs: { readonly roles: { readonly content: string } };
  readonly services: Readonly<
    Record<
      string,
      { readonly command: readonly string[]; readonly environment: Readonly<Record<string, string>> }
    >
  >;
}

const compose = (): Compose =>
  parse(readFileSync(new URL('../../compose.yaml', import.meta.url), 'utf8'), { merge: true });

test.skipIf(programs === '')(
  'the roles that compose.yaml makes: the owner migrates, and the daemon can neither change nor drop a table',
  async () => {
    const { configs, services } = compose();
    const folder = mkdtempSync(join(tmpdir(), 'compose-'));
    const postgres = await startPostgres({ durable: false });
    // A password with what SQL and URLs quote.
    const passwords = { TIM_OWNER_PASSWORD: "ow'ner$1", TIM_DAEMON_PASSWORD: 'dae"mon' };
    const urlOf = (service: string) => {
      const text = services[service]?.environment['DATABASE_URL'] ?? '';
      const filled = text.replace(/\$\{(\w+):\?[^}]*\}/g, (_, name: keyof typeof passwords) =>
        encodeURIComponent(passwords[name]),
      );
      const url = new URL(filled);
      expect([url.hostname, url.port, url.pathname]).toEqual(['postgres', '5432', '/tim']);
      const { host } = new URL(postgres.url());
      return Object.assign(url, { host }).href;
    };
    try {
      const file = join(folder, 'roles.sql');
      writeFileSync(file, configs.roles.content);
      // As the entry point of the image does it.
      execFileSync(
        join(programs, 'psql'),
        ['-v', 'ON_ERROR_STOP=1', '--no-psqlrc', '-d', postgres.url(), '-f', file],
        { env: { ...process.env, ...passwords }, stdio: 'pipe' },
      );
      const { code, stderr } = await runCommand(services['migrate']?.command ?? [], {
        DATABASE_URL: urlOf('migrate'),
      }).ended;
      expect([code, stderr]).toEqual([0, '']);
      const env = { DATABASE_URL: urlOf('daemon'), TIM_SDK_APP_ID: '1400000000' };
      expect(await runCommand(['accounts', 'add', 'alice'], env).ended).toMatchObject({ code: 0 });
      const db = connect({ url: env.DATABASE_URL, applicationName: 'test', onIdleError: () => undefined });
      for (const statement of ['drop table mirror.account', 'delete from mirror.migration'])
        await expect(sql.raw(statement).execute(db)).rejects.toMatchObject({ code: '42501' });
      await db.destroy();
    } finally {
      await postgres.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  },
);
