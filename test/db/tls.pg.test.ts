import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect, type Database } from '../../db/client.ts';
import { describeTrouble, troubleOf } from '../../db/database-trouble.ts';
import { asWeUseIt } from '../../src/config/postgres-url.ts';
import { type LocalPostgres, startPostgres } from '../../src/local-servers/postgres.ts';
import { runCommand } from '../support/daemon.ts';
import { waitFor } from '../support/wait-for.ts';

const hasOpenssl = (() => {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    process.stderr.write(
      'test/db/tls.pg: skipped, for openssl, which makes the certificates, is not installed\n',
    );
    return false;
  }
})();

let folder: string;
let postgres: LocalPostgres;
const ca = () => join(folder, 'ca.pem');

const open = (url: string) => connect({ url, applicationName: 'test', onIdleError: () => undefined });

/** A CA, and a certificate of its for `localhost`. */
function makeCertificates(): void {
  const openssl = (...given: string[]) => execFileSync('openssl', given, { cwd: folder, stdio: 'ignore' });
  const key = ['-newkey', 'rsa:2048', '-nodes', '-days', '2'];
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=test CA');
  openssl('req', ...key, '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=localhost');
  const signing = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2'];
  openssl('x509', '-req', '-in', 'server.csr', ...signing, '-out', 'server.pem');
}

/** The server's own user must own the key, so the server writes it itself. */
async function useTls(db: Database): Promise<void> {
  for (const name of ['server.key', 'server.pem']) {
    const text = readFileSync(join(folder, name)).toString('base64');
    await sql`
      copy (select ${sql.lit(text)}) to program ${sql.lit(`base64 -d > ${name} && chmod 600 ${name}`)}
    `.execute(db);
  }
  const set = (setting: string) => sql.raw(`alter system set ${setting}`).execute(db);
  await set("ssl_cert_file = 'server.pem'");
  await set("ssl_key_file = 'server.key'");
  await set('ssl = on');
  await sql`select pg_reload_conf()`.execute(db);
}

const urlWith = (parameters: string) => {
  const url = new URL(postgres.url());
  url.hostname = 'localhost';
  return asWeUseIt(`${url.href}?${parameters}`);
};

async function isEncrypted(url: string): Promise<boolean | undefined> {
  const db = open(url);
  try {
    const { rows } = await sql<{ ssl: boolean }>`
      select ssl from pg_stat_ssl where pid = pg_backend_pid()
    `.execute(db);
    return rows[0]?.ssl;
  } finally {
    await db.destroy();
  }
}

describe.skipIf(!hasOpenssl)('a Postgres that speaks TLS with a CA of its owner’s', () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tls-'));
    makeCertificates();
    postgres = await startPostgres({ durable: false });
    const db = open(postgres.url());
    await useTls(db);
    await waitFor('TLS', async () => (await isEncrypted(urlWith('sslmode=require'))) === true);
    await db.destroy();
  });

  afterAll(async () => {
    await postgres?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test.each([
    ['sslmode=disable', false],
    ['sslmode=prefer', true],
    ['sslmode=require', true],
    ['sslmode=require&sslrootcert=CA', true],
    ['sslmode=verify-ca&sslrootcert=CA', true],
    ['sslmode=verify-full&sslrootcert=CA', true],
  ])('%s connects', async (parameters, encrypted) => {
    expect(await isEncrypted(urlWith(parameters.replace('CA', ca())))).toBe(encrypted);
  });

  test('sslmode=verify-full without the CA says that the certificate is not trusted, and what to do', async () => {
    const error = await isEncrypted(urlWith('sslmode=verify-full')).catch((refused: unknown) => refused);
    const trouble = troubleOf(error);
    expect(trouble).toBeDefined();
    expect(trouble && describeTrouble(trouble)).toMatch(/sslrootcert/);
  });

  test.each(['sslmode=require', 'sslmode=verify-full&sslrootcert=CA'])(
    'a command under %s writes no warning',
    async (parameters) => {
      const env = {
        DATABASE_URL: urlWith(parameters.replace('CA', ca())).replace('&uselibpqcompat=true', ''),
        TIM_SDK_APP_ID: '1400000000',
      };
      const { code, stderr } = await runCommand(['migrate'], env).ended;
      expect([code, stderr]).toEqual([0, expect.not.stringMatching(/warning/i)]);
    },
  );

  test('a CA file that is not there is said with its path', async () => {
    const env = { DATABASE_URL: urlWith('sslmode=verify-full&sslrootcert=/nowhere/ca.pem') };
    const { code, stderr } = await runCommand(['status'], env).ended;
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/^tim-mirror: DATABASE_URL has sslrootcert=\/nowhere\/ca\.pem, .*\n$/);
  });
});
