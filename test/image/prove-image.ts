import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { freePort } from '../../dev/local-servers/free-port.ts';
import { startPostgres } from '../../dev/local-servers/postgres.ts';
import { waitFor } from '../support/wait-for.ts';
import { createDockerIgnore } from './docker-ignore.ts';

/** What the image's steps came to. */
export interface ImageReport {
  /** The user that the programs ran as: the image's, or this one where only root could change it. */
  readonly uid: number;
  readonly version: string;
  readonly packages: number;
  readonly dependenciesMb: number;
  /** All that lies on top of Node: the daemon and its dependencies. */
  readonly imageMb: number;
  /** From `tim-mirror start` to its first claims. */
  readonly coldStartMs: number;
  readonly accountsPolled: number;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
/** User `node` of Node's image. */
const imageUid = 1000;
const accounts = 20;
const app = { TIM_SDK_APP_ID: '1400000000', TIM_SECRET_KEY: 'the-key-of-the-image-proof' };

/**
 * Does what the Dockerfile says in a clean folder, and runs what comes of it as another user: `--version`, `migrate`,
 * and a daemon until it has polled every account of a simulated vendor. Throws with a sentence where something is amiss.
 */
export async function proveImage(say: (sentence: string) => void): Promise<ImageReport> {
  const folder = mkdtempSync(join(tmpdir(), 'tim-image-'));
  const postgres = await startPostgres({ durable: false });
  const running: ChildProcess[] = [];
  try {
    chmodSync(folder, 0o755);
    const image = lay(folder);
    const install = installStep();
    say(`${install}, with what .dockerignore lets through`);
    await finish(image.install(install));
    const packages = findPackages(join(image.app, 'node_modules'));
    assertProduction(packages);

    say('tim-mirror --version, migrate, accounts import, start');
    const version = (await finish(image.run('tim-mirror', ['--version']))).trim();
    const port = await freePort();
    const env = {
      ...app,
      DATABASE_URL: postgres.url(),
      TIM_ENDPOINT: `http://127.0.0.1:${port}`,
      HTTP_PORT: '0',
      POLL_MIN_INTERVAL: '1s',
    };
    const vendorOptions = [
      '--port',
      String(port),
      '--secret-key',
      app.TIM_SECRET_KEY,
      '--accounts',
      String(accounts),
    ];
    const vendor = image.run('tim-mirror', ['simulator', ...vendorOptions], { env });
    running.push(vendor.child);
    await waitFor('the simulator', () => vendor.said().includes('http://'));
    await finish(image.run('tim-mirror', ['migrate'], { env }));
    const list = Array.from({ length: accounts }, (_, index) => `user-${String(index + 1).padStart(5, '0')}`);
    await finish(image.run('tim-mirror', ['accounts', 'import', '-'], { env, input: list.join('\n') }));

    const began = performance.now();
    const daemon = image.run('tim-mirror', ['start'], { env });
    running.push(daemon.child);
    await waitFor('the daemon to run', () => daemon.said().includes('tim-mirror runs'), 60_000);
    const coldStartMs = Math.round(performance.now() - began);
    await waitFor('every account to be polled', async () => (await countUnpolled(postgres.url())) === 0);
    daemon.child.kill('SIGTERM');
    await finish(daemon);
    return {
      uid: image.uid,
      version,
      packages: packages.length,
      dependenciesMb: megabytes(join(image.app, 'node_modules')),
      imageMb: megabytes(image.app),
      coldStartMs,
      accountsPolled: list.length,
    };
  } finally {
    for (const child of running) child.kill('SIGKILL');
    await postgres.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
}

interface Running {
  readonly child: ChildProcess;
  readonly what: string;
  readonly said: () => string;
  readonly ended: Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>;
}

/** The image's folders: `/app` with the files that go in, and a place on the PATH with Node and tim-mirror. */
function lay(folder: string) {
  const appFolder = join(folder, 'app');
  const path = join(folder, 'bin');
  const home = join(folder, 'home');
  for (const made of [appFolder, path, home]) mkdirSync(made);
  const uid = process.getuid?.() === 0 ? imageUid : (process.getuid?.() ?? 0);
  const lets = createDockerIgnore(readFileSync(join(root, '.dockerignore'), 'utf8'));
  for (const file of filesOf(root)) {
    if (!lets(file)) continue;
    mkdirSync(dirname(join(appFolder, file)), { recursive: true });
    cpSync(join(root, file), join(appFolder, file));
  }
  copyFileSync(process.execPath, join(path, 'node'));
  symlinkSync(join(appFolder, 'bin/tim-mirror.ts'), join(path, 'tim-mirror'));

  const PATH = [path, process.env['PATH']].join(delimiter);
  const user = uid === process.getuid?.() ? {} : { uid, gid: uid };

  /** As the image's user, who sees nothing of this environment. */
  function run(program: string, args: readonly string[], { env = {}, input = '' }: RunOptions = {}): Running {
    return follow([program, ...args], input, { env: { PATH, HOME: home, ...env }, ...user });
  }

  /** As the one who builds the image, with the npm and the registry that this machine has. */
  function install(step: string): Running {
    return follow(['sh', '-c', step], '', { env: { ...process.env, PATH, NODE_ENV: 'production' } });
  }

  function follow([program = '', ...args]: readonly string[], input: string, options: SpawnOptions): Running {
    const child = spawn(program, args, { cwd: appFolder, ...options, stdio: ['pipe', 'pipe', 'pipe'] });
    child.stdin.end(input);
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk));
    return {
      child,
      what: [program, ...args].join(' '),
      said: () => stdout + stderr,
      ended: new Promise((resolve, reject) => {
        child.once('error', reject);
        child.once('close', (code) => resolve({ code, stdout, stderr }));
      }),
    };
  }
  return { app: appFolder, uid, run, install };
}

async function finish({ what, ended }: Running): Promise<string> {
  const { code, stdout, stderr } = await ended;
  if (code !== 0) throw new Error(`${what} ended with ${code}: ${stderr.slice(-2000)}`);
  return stdout;
}

async function countUnpolled(url: string): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query(
      'select from mirror.poll_state where claim_no = 0 or leased_until is not null',
    );
    return rows.length;
  } finally {
    await client.end();
  }
}

/** The step that installs, as the Dockerfile has it. */
function installStep(): string {
  const step = /^RUN (npm ci [^&\n]*)/m.exec(readFileSync(join(root, 'Dockerfile'), 'utf8'))?.[1];
  if (step === undefined) throw new Error('the Dockerfile has no step that begins with RUN npm ci');
  return step.trim();
}

/** Files below a folder that may go into an image; what was installed or is Git's never does. */
function filesOf(folder: string): readonly string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (['node_modules', '.git'].includes(entry.name)) return [];
    const path = join(folder, entry.name);
    if (!entry.isDirectory()) return [relative(root, path)];
    return filesOf(path);
  });
}

/** Names of the packages in a `node_modules`, those below others too. */
function findPackages(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).flatMap((path) => {
    const name = /(?:^|node_modules\/)((?:@[^/]+\/)?[^/@.][^/]*)\/package\.json$/.exec(path)?.[1];
    return name === undefined ? [] : [name];
  });
}

function assertProduction(packages: readonly string[]): void {
  const { devDependencies, dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const developing = Object.keys(devDependencies).filter((name) => packages.includes(name));
  if (developing.length > 0)
    throw new Error(`the image holds packages for development: ${developing.join(', ')}`);
  const missing = Object.keys(dependencies).filter((name) => !packages.includes(name));
  if (missing.length > 0) throw new Error(`the image lacks ${missing.join(', ')}`);
}

function megabytes(folder: string): number {
  const bytes = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
  return Math.round(bytes / 1e5) / 10;
}
