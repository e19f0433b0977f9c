import { readFileSync } from 'node:fs';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect, type Database } from '../../db/client.ts';
import { describeProblem, problemOf } from '../../db/database-problem.ts';
import { FreshClient } from '../../db/fresh-client.ts';
import { type LocalPostgres, startPostgres } from '../../dev/local-servers/postgres.ts';
import { asWeUseIt } from '../../src/config/postgres-url.ts';
import { canMakeCertificates, makeCertificates, type TestCertificates } from '../support/certificates.ts';
import { runCommand } from '../support/daemon.ts';
import { waitFor } from '../support/wait-for.ts';

const hasOpenssl = canMakeCertificates('test/db/tls.pg');
let certificates: TestCertificates;
let postgres: LocalPostgres;
const ca = () => certificates.ca;

const open = (url: string) => connect({ url, applicationName: 'test', onIdleError: () => undefined });

/** The server's own user must own the key, so the server writes it itself. */
async function useTls(db: Database): Promise<void> {
  const files = { 'server.key': certificates.key, 'server.pem': certificates.certificate };
  for (const [name, path] of Object.entries(files)) {
    const text = readFileSync(path).toString('base64');
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
    certificates = makeCertificates();
    postgres = await startPostgres({ durable: false });
    const db = open(postgres.url());
    await useTls(db);
    await waitFor('TLS', async () => (await isEncrypted(urlWith('sslmode=require'))) === true);
    await db.destroy();
  });

  afterAll(async () => {
    await postgres?.stop();
    certificates?.[Symbol.dispose]();
  });

  test.each([
    ['', true],
    ['application_name=x', true],
    ['sslmode=disable', false],
    ['sslmode=prefer', true],
    ['sslmode=require', true],
    ['sslmode=require&sslrootcert=CA', true],
    ['sslmode=verify-ca&sslrootcert=CA', true],
    ['sslmode=verify-full&sslrootcert=CA', true],
  ])('%s connects', async (parameters, encrypted) => {
    expect(await isEncrypted(urlWith(parameters.replace('CA', ca())))).toBe(encrypted);
  });

  test('logins that pg_hba.conf lets in without TLS only, or with it only, get in where the URL says nothing', async () => {
    const rules = [
      'hostnossl all plain_only all trust',
      'hostssl all tls_only all trust',
      'hostssl all by_certificate all cert',
      'hostnossl all by_certificate all trust',
      'host all plain_only,tls_only,nowhere all reject',
      'host all all all trust',
    ];
    const db = open(postgres.url());
    await sql`create role plain_only login; create role tls_only login; create role by_certificate login; create role nowhere login`.execute(
      db,
    );
    const { rows } = await sql<{ file: string }>`select current_setting('hba_file') as file`.execute(db);
    await sql`
      copy (select unnest(array[${sql.join(rules.map((rule) => sql.lit(rule)))}])) to ${sql.lit(rows[0]?.file)}
    `.execute(db);
    await sql`select pg_reload_conf()`.execute(db);
    await db.destroy();
    const as = (user: string, parameters = '') =>
      isEncrypted(Object.assign(new URL(urlWith(parameters)), { username: user }).href);
    await waitFor('the rules', () =>
      as('tls_only', 'sslmode=disable').then(
        () => false,
        () => true,
      ),
    );
    expect([await as('plain_only'), await as('tls_only'), await as('by_certificate')]).toEqual([
      false,
      true,
      false,
    ]);
    // No advice about TLS where neither way is open.
    const problem = problemOf(await as('nowhere').catch((refused: unknown) => refused));
    expect(problem && describeProblem(problem)).toMatch(/refuses the user or password .*pg_hba\.conf/);
  });

  test('many connections at once ask the server for TLS once', async () => {
    const name = 'asks once';
    const db = connect({
      url: urlWith(`application_name=${name}`),
      applicationName: name,
      maxConnections: 8,
      onIdleError: () => undefined,
    });
    try {
      await Promise.all(Array.from({ length: 8 }, () => sql`select pg_sleep(0.05)`.execute(db)));
      const { rows } = await sql<{ ssl: boolean }>`
        select ssl from pg_stat_ssl join pg_stat_activity using (pid) where application_name = ${name}
      `.execute(db);
      expect(rows.map(({ ssl }) => ssl)).toEqual(Array.from({ length: 8 }, () => true));
    } finally {
      await db.destroy();
    }
  });

  test('sslmode=verify-full without the CA says that the certificate is not trusted, and what to do', async () => {
    const error = await isEncrypted(urlWith('sslmode=verify-full')).catch((refused: unknown) => refused);
    const problem = problemOf(error);
    expect(problem).toBeDefined();
    expect(problem && describeProblem(problem)).toMatch(/sslrootcert/);
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

test('over a socket of this machine nothing is encrypted, whatever the URL says', () => {
  for (const mode of ['', '&sslmode=prefer', '&sslmode=require', '&sslmode=verify-full']) {
    const url = asWeUseIt(`postgres://tim@/tim?host=/run/postgresql${mode}`);
    expect(new FreshClient({ connectionString: url })).toMatchObject({ ssl: false });
  }
});
