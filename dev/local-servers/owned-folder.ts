import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { isOwn, ownUser } from '../../src/private-folder.ts';
import { unprivilegedUser } from './runner.ts';

/** Process ids come round again, so a process is known by its id, its start, its user and its program. */
const processIdentity = z.object({
  pid: z.int().positive(),
  startedAt: z.string().optional(),
  user: z.int().optional(),
  command: z.string().optional(),
});
type ProcessIdentity = z.infer<typeof processIdentity>;

const ownerFile = 'owner.json';
const serverFile = 'server.json';
const prefix = 'tim-mirror-';
/** Larger than any that we write. */
const mostBytes = 4096;

/** A fresh folder for a server of our own, marked as belonging to this process. */
export function createOwnedFolder(kind: string): string {
  const folder = mkdtempSync(join(tmpdir(), `${prefix}${kind}-`));
  claimFolder(folder);
  return folder;
}

/** What keeps a folder from being claimed. */
type ClaimProblem = 'in use' | 'not ours';

/**
 * Marks a folder as belonging to this process, making it where it is missing. Returns what keeps it from that: another
 * living process has it, or another user may write there.
 */
export function claimFolder(folder: string): ClaimProblem | undefined {
  mkdirSync(folder, { recursive: true });
  // A link that the user has named leads where the user wants.
  if (!isTrusted(realpathSync(folder))) return 'not ours';
  const owner = readIdentity(join(folder, ownerFile));
  if (owner !== undefined && owner.pid !== process.pid && isAlive(owner)) return 'in use';
  writeIdentity(join(folder, ownerFile), process.pid);
  return undefined;
}

/** Remembers the server that runs in a folder, so that the next start finds it when we are killed. */
export function rememberServer(folder: string, pid: number | undefined): void {
  if (pid === undefined) return;
  writeIdentity(join(folder, serverFile), pid);
}

/**
 * Ends the server that a dead owner left running in a folder; resolves when it is gone. Only a process that our own
 * file names with the start, the user and the program that it has is a server of ours.
 */
export async function endLeftServer(folder: string): Promise<void> {
  const server = readIdentity(join(folder, serverFile));
  if (server === undefined || !isProved(server)) return;
  // SIGINT is Postgres' fast shutdown; Redis saves nothing here and just ends.
  if (!signal(server.pid, 'SIGINT')) return;
  for (let waitedMs = 0; isProved(server); waitedMs += 50) {
    if (waitedMs === 10_000) signal(server.pid, 'SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Ends the servers and deletes the folders that killed processes of this user have left behind. */
export async function sweepAbandonedFolders(): Promise<readonly string[]> {
  const swept: string[] = [];
  for (const name of readdirSync(tmpdir())) {
    if (!name.startsWith(prefix)) continue;
    const folder = join(tmpdir(), name);
    if (!isTrusted(folder)) continue;
    const owner = readIdentity(join(folder, ownerFile));
    if (owner === undefined || isAlive(owner)) continue;
    try {
      await endLeftServer(folder);
      rmSync(folder, { recursive: true, force: true });
      swept.push(folder);
    } catch (error) {
      // Another start is sweeping the same folder: theirs to finish.
      if (!(error instanceof Error && 'code' in error)) throw error;
    }
  }
  return swept;
}

/**
 * Whether a path is a folder, no link, that is ours, or that of the user whom root lets servers run as. Its group may
 * write to one that was made with the common umask 002; all other users may not.
 */
function isTrusted(folder: string): boolean {
  try {
    const stats = lstatSync(folder);
    const owners = [ownUser(), unprivilegedUser().uid];
    return stats.isDirectory() && owners.includes(stats.uid) && (stats.mode & 0o002) === 0;
  } catch {
    return false;
  }
}

/** Under a new name first: a link at the file's place is replaced, not followed. */
function writeIdentity(file: string, pid: number): void {
  const fresh = `${file}.${randomBytes(6).toString('hex')}`;
  writeFileSync(fresh, JSON.stringify({ pid, ...describeProcess(pid) }), { flag: 'wx', mode: 0o600 });
  renameSync(fresh, file);
}

/** What a file of our own says; undefined for a link, and for a file that another user has written or may write. */
function readIdentity(file: string): ProcessIdentity | undefined {
  let opened: number | undefined;
  try {
    opened = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stats = fstatSync(opened);
    if (!stats.isFile() || stats.nlink !== 1 || stats.size > mostBytes || !isOwn(stats)) return undefined;
    return processIdentity.parse(JSON.parse(readFileSync(opened, 'utf8')));
  } catch {
    return undefined;
  } finally {
    if (opened !== undefined) closeSync(opened);
  }
}

/** Whether the process may still be there: where in doubt, it is. */
function isAlive({ pid, startedAt }: ProcessIdentity): boolean {
  return exists(pid) && describeProcess(pid)?.startedAt === startedAt;
}

/** Whether the process is the one that was remembered, beyond doubt. */
function isProved(identity: ProcessIdentity): boolean {
  const { startedAt, user, command } = identity;
  if (startedAt === undefined || user === undefined || command === undefined) return false;
  const found = describeProcess(identity.pid);
  return found?.startedAt === startedAt && found.user === user && found.command === command;
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(pid, name);
    return true;
  } catch {
    return false;
  }
}

/** When a process started, in ticks since boot or as ps writes it, who runs it, and its program; undefined for a zombie. */
function describeProcess(pid: number): Omit<ProcessIdentity, 'pid'> | undefined {
  if (process.platform !== 'linux') return askPs(pid);
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const user = statSync(`/proc/${pid}`).uid;
    // The second field is the program in brackets, which may itself hold blanks and brackets.
    const end = stat.lastIndexOf(')');
    const fields = stat.slice(end + 2).split(' ');
    const command = stat.slice(stat.indexOf('(') + 1, end);
    return fields[0] === 'Z' ? undefined : { startedAt: fields[19], user, command };
  } catch {
    return undefined;
  }
}

function askPs(pid: number): Omit<ProcessIdentity, 'pid'> | undefined {
  const { stdout } = spawnSync('ps', ['-o', 'uid=,lstart=,comm=', '-p', String(pid)], {
    encoding: 'utf8',
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
  });
  const [, user, startedAt, command] =
    /^\s*(\d+)\s+(\w+ +\w+ +\d+ [\d:]+ \d+)\s+(.+?)\s*$/.exec(stdout ?? '') ?? [];
  return user === undefined ? undefined : { startedAt, user: Number(user), command };
}
