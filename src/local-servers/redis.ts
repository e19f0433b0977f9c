import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { Redis } from 'ioredis';
import { freePort } from './free-port.ts';
import { createOwnedFolder, rememberServer } from './owned-folder.ts';
import { LocalServerError } from './postgres.ts';

export interface LocalRedis {
  readonly url: string;
  readonly port: number;
  /** Ends the server and deletes its folder. */
  stop(): Promise<void>;
}

export interface LocalRedisOptions {
  /** Default: any free port. */
  readonly port?: number;
  /** Told when a server has to be installed first. */
  readonly say: (sentence: string) => void;
}

const startAttempts = 5;
const startTimeoutMs = 20_000;

/**
 * Starts a Redis or Valkey of our own on a free port of the loopback interface; it keeps nothing on disk.
 * Where there is none on the PATH, root on Debian gets one by apt; anybody else is told what to install.
 */
export async function startRedis(options: LocalRedisOptions): Promise<LocalRedis> {
  const program = ensureRedisProgram(options.say);
  for (let attempt = 1; ; attempt += 1) {
    const folder = createOwnedFolder('redis');
    const port = options.port ?? (await freePort());
    const server = spawn(
      program,
      // noeviction: a queue that loses keys loses work.
      [
        '--bind',
        '127.0.0.1',
        '--port',
        String(port),
        '--save',
        '',
        '--appendonly',
        'no',
        '--dir',
        folder,
      ].concat(['--maxmemory-policy', 'noeviction', '--daemonize', 'no']),
      { stdio: 'ignore', detached: true },
    );
    rememberServer(folder, server.pid);
    const url = `redis://127.0.0.1:${port}`;
    const stop = async () => {
      await end(server);
      rmSync(folder, { recursive: true, force: true });
    };
    if (await answers(server, url)) return { url, port, stop };
    await stop();
    // Somebody else may have taken the port between our asking and the start.
    if (attempt === startAttempts) throw new LocalServerError(`${program} does not start on port ${port}.`);
  }
}

/** The name of a Redis or Valkey server on the PATH, installed where that is possible. Throws LocalServerError. */
export function ensureRedisProgram(say: (sentence: string) => void): string {
  return findProgram() ?? install(say);
}

function findProgram(): string | undefined {
  return ['redis-server', 'valkey-server'].find(
    (name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0,
  );
}

function install(say: (sentence: string) => void): string {
  const asDebianRoot = process.getuid?.() === 0 && existsSync('/etc/debian_version');
  if (asDebianRoot) {
    say('No redis-server on the PATH: installing Debian’s package redis-server by apt.');
    const quiet = {
      stdio: 'ignore',
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', DEBIAN_FRONTEND: 'noninteractive' },
    } as const;
    spawnSync('apt-get', ['update'], quiet);
    spawnSync('apt-get', ['install', '--yes', '--no-install-recommends', 'redis-server'], quiet);
    const installed = findProgram();
    if (installed !== undefined) return installed;
  }
  throw new LocalServerError(
    'There is no redis-server or valkey-server on the PATH; install one (Debian: apt install redis-server, macOS: brew install redis).',
  );
}

async function answers(server: ChildProcess, url: string): Promise<boolean> {
  const redis = new Redis(url, { lazyConnect: true, maxRetriesPerRequest: 0, retryStrategy: () => null });
  redis.on('error', () => undefined);
  try {
    for (const start = performance.now(); performance.now() - start < startTimeoutMs; ) {
      if (server.exitCode !== null || server.pid === undefined) return false;
      try {
        await redis.connect();
        // Another server on the same port would answer too: it must be ours.
        return (await redis.info('server')).includes(`process_id:${server.pid}`);
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
    return false;
  } finally {
    redis.disconnect();
  }
}

async function end(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null || server.pid === undefined) return;
  const closed = new Promise((done) => server.once('close', done));
  server.kill('SIGTERM');
  await closed;
}
