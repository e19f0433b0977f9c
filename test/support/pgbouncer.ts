import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { canInstallPackages, installPackage } from '../../dev/local-servers/debian-package.ts';
import { freePort } from '../../dev/local-servers/free-port.ts';
import { createOwnedFolder, rememberServer } from '../../dev/local-servers/owned-folder.ts';
import { unprivilegedUser } from '../../dev/local-servers/runner.ts';
import { waitFor } from './wait-for.ts';

const places = [
  '/usr/sbin/pgbouncer',
  '/usr/bin/pgbouncer',
  '/usr/local/bin/pgbouncer',
  '/opt/homebrew/bin/pgbouncer',
];

/** The path of a PgBouncer, installed where that is possible; empty, with the reason printed, where there is none. */
export function findPgBouncer(say: (sentence: string) => void): string {
  const find = () => places.find((path) => existsSync(path));
  const found = find();
  if (found !== undefined) return found;
  if (canInstallPackages()) {
    say('No PgBouncer: installing Debian’s package pgbouncer by apt, for the test of poolers.');
    installPackage('pgbouncer');
  }
  const installed = find();
  if (installed === undefined)
    say('There is no PgBouncer, so the test of poolers is skipped; install one to run it.');
  return installed ?? '';
}

export interface TestPgBouncer extends AsyncDisposable {
  /** The URL of a database, by way of the pooler. */
  through(databaseUrl: string): string;
}

export interface PgBouncerOptions {
  readonly program: string;
  /** A database of the server behind it. */
  readonly databaseUrl: string;
  readonly mode: 'transaction' | 'session';
  /** Connections to the server for each database. */
  readonly connections: number;
}

/** Starts a PgBouncer on a free port of the loopback interface. */
export async function startPgBouncer(options: PgBouncerOptions): Promise<TestPgBouncer> {
  const { hostname, port: serverPort, username, password } = new URL(options.databaseUrl);
  const folder = createOwnedFolder('pgbouncer');
  // As root it runs as the system's unprivileged user, who must be able to read its settings.
  chmodSync(folder, 0o755);
  const port = await freePort();
  const file = join(folder, 'pgbouncer.ini');
  const settings = [
    '[databases]',
    `* = host=${hostname} port=${serverPort} user=${username} password=${password}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = any',
    `pool_mode = ${options.mode}`,
    `default_pool_size = ${options.connections}`,
    'max_client_conn = 500',
    'server_lifetime = 5',
  ];
  writeFileSync(file, `${settings.join('\n')}\n`);
  const server = spawn(options.program, [file], {
    ...unprivilegedUser(),
    cwd: '/',
    stdio: 'ignore',
    detached: true,
  });
  rememberServer(folder, server.pid);
  const through = (databaseUrl: string) => {
    const url = new URL(databaseUrl);
    url.port = String(port);
    return url.href;
  };
  await waitFor('the pooler to answer', () => answers(through(options.databaseUrl), server));
  return { through, [Symbol.asyncDispose]: () => end(server) };
}

async function answers(url: string, server: ChildProcess): Promise<boolean> {
  if (server.exitCode !== null) throw new Error('the pooler has ended');
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function end(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const closed = new Promise((done) => server.once('close', done));
  server.kill('SIGKILL');
  await closed;
}
