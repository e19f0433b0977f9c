import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { Redis } from 'ioredis';
import { canInstallPackages, installPackage } from './debian-package.ts';
import { freePort } from './free-port.ts';
import { LocalServerError } from './local-server-error.ts';
import { createOwnedFolder, rememberServer } from './owned-folder.ts';

export interface LocalRedis {
  readonly url: string;
  readonly port: number;
  /** Kills the server; all it held is lost. */
  crash(): Promise<void>;
  /** Starts it again, empty, on the port it had. */
  revive(): Promise<void>;
  /** Ends the server and deletes its folder. */
  stop(): Promise<void>;
}

interface LocalRedisOptions {
  /** Called when a server has to be installed first. */
  readonly say: (sentence: string) => void;
  /** What it is started with, if not as a single server that keeps nothing. */
  readonly args?: (place: RedisPlace) => readonly string[];
}

/** Where a server of ours is. */
export interface RedisPlace {
  readonly port: number;
  /** Its own, deleted when it is stopped. */
  readonly folder: string;
}

const startAttempts = 5;
const startTimeoutMs = 20_000;

/**
 * Starts a Redis or Valkey of our own on a free port of the loopback interface.
 * Where there is none on the PATH, root on Debian gets one by apt; any other user gets a sentence that says what to install.
 */
export async function startRedis(options: LocalRedisOptions): Promise<LocalRedis> {
  const program = ensureRedisProgram(options.say);
  const folder = createOwnedFolder('redis');

  async function start(port: number): Promise<ChildProcess | undefined> {
    const server = spawn(program, (options.args ?? plainServer)({ port, folder }), {
      cwd: folder,
      stdio: 'ignore',
      detached: true,
    });
    rememberServer(folder, server.pid);
    if (await answers(server, urlAt(port))) return server;
    await end(server, 'SIGTERM');
    return undefined;
  }

  for (let attempt = 1; attempt <= startAttempts; attempt += 1) {
    const port = await freePort();
    let server = await start(port);
    // Another process may have taken the port between our asking and the start.
    if (server === undefined) continue;
    return {
      url: urlAt(port),
      port,
      async crash() {
        if (server !== undefined) await end(server, 'SIGKILL');
      },
      async revive() {
        server = await start(port);
        if (server === undefined)
          throw new LocalServerError(`${program} does not start again on port ${port}.`);
      },
      async stop() {
        if (server !== undefined) await end(server, 'SIGTERM');
        rmSync(folder, { recursive: true, force: true });
      },
    };
  }
  rmSync(folder, { recursive: true, force: true });
  throw new LocalServerError(`${program} does not start.`);
}

/** A server that keeps nothing on disk, and never evicts: a queue that loses keys loses work. */
export function plainServer({ port, folder }: RedisPlace): readonly string[] {
  const settings = {
    bind: '127.0.0.1',
    port: String(port),
    save: '',
    appendonly: 'no',
    dir: folder,
    'maxmemory-policy': 'noeviction',
    daemonize: 'no',
  };
  return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
}

function urlAt(port: number): string {
  return `redis://127.0.0.1:${port}`;
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
  if (canInstallPackages()) {
    say('No redis-server on the PATH: installing Debian’s package redis-server by apt.');
    installPackage('redis-server');
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

async function end(server: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null || server.pid === undefined) return;
  const closed = new Promise((done) => server.once('close', done));
  server.kill(signal);
  await closed;
}
