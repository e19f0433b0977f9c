import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  claimFolder,
  createOwnedFolder,
  rememberServer,
  sweepAbandonedFolders,
} from '../../dev/local-servers/owned-folder.ts';
import { unprivilegedUser } from '../../dev/local-servers/runner.ts';
import { isPrivateFolder } from '../../src/private-folder.ts';
import { waitFor } from '../support/wait-for.ts';

const asRoot = process.getuid?.() === 0;
/** A user who is neither root nor the one that root lets servers run as. */
const stranger = findStranger();
if (stranger === undefined)
  process.stderr.write(
    'test/local-servers/owned-folder: two tests skipped, for only root can act for another user\n',
  );
let shared: string;
const children: ChildProcess[] = [];

beforeEach(() => {
  // As every user of a machine finds it.
  shared = mkdtempSync(join(tmpdir(), 'tim-shared-'));
  chmodSync(shared, 0o1777);
  vi.stubEnv('TMPDIR', shared);
});

afterEach(() => {
  vi.unstubAllEnvs();
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(shared, { recursive: true, force: true });
});

function findStranger(): { readonly uid: number; readonly gid: number } | undefined {
  if (!asRoot) return undefined;
  const users = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  const found = ['tester', 'daemon', 'nobody']
    .map((name) => users.find((fields) => fields[0] === name))
    .find((fields) => fields !== undefined && Number(fields[2]) !== unprivilegedUser().uid);
  return found && { uid: Number(found[2]), gid: Number(found[3]) };
}

function startSleeper(): ChildProcess & { readonly pid: number } {
  const child = spawn('sleep', ['600'], { stdio: 'ignore' });
  children.push(child);
  if (child.pid === undefined) throw new Error('no sleep on the PATH');
  return Object.assign(child, { pid: child.pid });
}

const isRunning = (child: ChildProcess) => child.exitCode === null && child.signalCode === null;

/** What a dead owner leaves, as this process would have written it. */
function leave(server: { readonly pid: number }): string {
  const folder = createOwnedFolder('left');
  rememberServer(folder, server.pid);
  writeFileSync(join(folder, 'owner.json'), JSON.stringify({ pid: 2 ** 22 + 1, startedAt: '1' }));
  return folder;
}

describe('a sweep', () => {
  test('ends the server that a dead owner of this user left, and deletes its folder', async () => {
    const server = startSleeper();
    const folder = leave(server);
    expect(await sweepAbandonedFolders()).toEqual([folder]);
    await waitFor('the server to end', () => !isRunning(server));
    expect(existsSync(folder)).toBe(false);
  });

  test.each([
    ['another start', { startedAt: '12345' }],
    ['another program', { command: 'postgres' }],
    ['another user', { user: 4242 }],
    ['no program', { command: undefined }],
  ])('ends no process that has %s than the server had', async (_, difference) => {
    const server = startSleeper();
    const folder = leave(server);
    const file = join(folder, 'server.json');
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...difference }));
    expect(await sweepAbandonedFolders()).toEqual([folder]);
    expect(isRunning(server)).toBe(true);
  });

  test.skipIf(stranger === undefined)(
    'believes no folder and no file of another user, and touches neither',
    async () => {
      const server = startSleeper();
      const theirs = leave(server);
      const forged = leave(server);
      for (const path of [theirs, ...readdirSync(theirs).map((name) => join(theirs, name))])
        chownSync(path, stranger?.uid ?? 0, stranger?.gid ?? 0);
      // In a folder of ours that the stranger could write to for a moment.
      chownSync(join(forged, 'server.json'), stranger?.uid ?? 0, stranger?.gid ?? 0);
      expect(await sweepAbandonedFolders()).toEqual([forged]);
      expect(isRunning(server)).toBe(true);
      expect(readdirSync(theirs).toSorted()).toEqual(['owner.json', 'server.json']);
    },
  );

  test('follows no link', async () => {
    const server = startSleeper();
    const folder = leave(server);
    const elsewhere = mkdtempSync(join(shared, 'elsewhere-'));
    spawnSync('mv', [folder, join(elsewhere, 'kept')]);
    symlinkSync(join(elsewhere, 'kept'), join(shared, 'tim-mirror-link'));
    expect(await sweepAbandonedFolders()).toEqual([]);
    expect([isRunning(server), existsSync(join(elsewhere, 'kept/owner.json'))]).toEqual([true, true]);
  });
});

describe('a folder that is claimed', () => {
  test('keeps what a link in the place of its mark leads to', () => {
    const folder = join(shared, 'data');
    mkdirSync(folder, { mode: 0o700 });
    const precious = join(shared, 'precious');
    writeFileSync(precious, 'precious');
    symlinkSync(precious, join(folder, 'owner.json'));
    expect(claimFolder(folder)).toBeUndefined();
    expect(readFileSync(precious, 'utf8')).toBe('precious');
    expect(lstatSync(join(folder, 'owner.json')).isFile()).toBe(true);
  });

  test('is refused where every user may write, or where it is another user’s', () => {
    const open = join(shared, 'open');
    mkdirSync(open);
    chmodSync(open, 0o777);
    expect(claimFolder(open)).toBe('not ours');
    if (stranger === undefined) return;
    const theirs = join(shared, 'theirs');
    mkdirSync(theirs, { mode: 0o755 });
    chownSync(theirs, stranger.uid, stranger.gid);
    expect(claimFolder(theirs)).toBe('not ours');
  });
});

describe('what Node has compiled', () => {
  const commandLine = fileURLToPath(new URL('../../bin/tim-mirror.ts', import.meta.url));
  const folderOf = (uid: number) => join(shared, `tim-mirror-compiled-${uid}`);
  const run = (user: object = {}) =>
    spawnSync('node', [commandLine, '--version'], {
      env: { PATH: process.env['PATH'], TMPDIR: shared },
      encoding: 'utf8',
      ...user,
    });
  const me = process.getuid?.() ?? 0;

  test('is kept in a folder that no other user may enter', () => {
    expect(run().status).toBe(0);
    const stats = lstatSync(folderOf(me));
    expect([stats.uid, stats.mode & 0o777]).toEqual([me, 0o700]);
    expect(readdirSync(folderOf(me))).not.toEqual([]);
    expect(readdirSync(shared)).toEqual([`tim-mirror-compiled-${me}`]);
  });

  test.skipIf(stranger === undefined)('is neither read nor kept where another user was first', () => {
    const made = spawnSync('mkdir', ['-m', '777', folderOf(me)], stranger);
    expect(made.status).toBe(0);
    expect(run().status).toBe(0);
    expect(readdirSync(folderOf(me))).toEqual([]);
    expect(run(stranger).status).toBe(0);
    expect(lstatSync(folderOf(stranger?.uid ?? 0)).uid).toBe(stranger?.uid);
  });

  test('is not kept behind a link, in a folder open to others, or where others could replace it', () => {
    const target = mkdtempSync(join(shared, 'target-'));
    symlinkSync(target, join(shared, 'link'));
    expect(isPrivateFolder(join(shared, 'link'))).toBe(false);
    chmodSync(target, 0o750);
    expect(isPrivateFolder(target)).toBe(false);
    chmodSync(target, 0o700);
    expect(isPrivateFolder(target)).toBe(true);
    chmodSync(shared, 0o777);
    expect(isPrivateFolder(target)).toBe(false);
  });
});
