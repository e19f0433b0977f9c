import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';

/** Process ids come round again, so a process is known by its id and its start. */
interface ProcessIdentity {
  readonly pid: number;
  readonly startedAt: string | undefined;
}

const processIdentity = z.object({ pid: z.int().positive(), startedAt: z.string().optional() });

const ownerFile = 'owner.json';
const serverFile = 'server.json';
const prefix = 'tim-mirror-';

/** A fresh folder for a server of our own, marked as belonging to this process. */
export function createOwnedFolder(kind: string): string {
  const folder = mkdtempSync(join(tmpdir(), `${prefix}${kind}-`));
  claimFolder(folder);
  return folder;
}

/** Marks an existing folder as belonging to this process. False when another living process has it. */
export function claimFolder(folder: string): boolean {
  mkdirSync(folder, { recursive: true });
  const owner = readIdentity(join(folder, ownerFile));
  if (owner !== undefined && owner.pid !== process.pid && isAlive(owner)) return false;
  writeFileSync(join(folder, ownerFile), JSON.stringify(identify(process.pid)));
  return true;
}

/** Remembers the server that runs in a folder, so that the next start finds it when we are killed. */
export function rememberServer(folder: string, pid: number | undefined): void {
  if (pid === undefined) return;
  writeFileSync(join(folder, serverFile), JSON.stringify(identify(pid)));
}

/** Ends the server that a dead owner left running in a folder. Resolves when it is gone. */
export async function endLeftServer(folder: string): Promise<void> {
  const server = readIdentity(join(folder, serverFile));
  if (server === undefined || !isAlive(server)) return;
  // SIGINT is Postgres' fast shutdown; Redis saves nothing here and just ends.
  if (!signal(server.pid, 'SIGINT')) return;
  for (let waitedMs = 0; isAlive(server); waitedMs += 50) {
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
    const owner = readIdentity(join(folder, ownerFile));
    if (owner === undefined || isAlive(owner)) continue;
    try {
      await endLeftServer(folder);
      rmSync(folder, { recursive: true, force: true });
      swept.push(folder);
    } catch (error) {
      // Another start is sweeping the same folder, or it is another user's: theirs to finish.
      if (!(error instanceof Error && 'code' in error)) throw error;
    }
  }
  return swept;
}

function identify(pid: number): ProcessIdentity {
  return { pid, startedAt: startOf(pid) };
}

function readIdentity(file: string): ProcessIdentity | undefined {
  try {
    const { pid, startedAt } = processIdentity.parse(JSON.parse(readFileSync(file, 'utf8')));
    return { pid, startedAt };
  } catch {
    return undefined;
  }
}

function isAlive(identity: ProcessIdentity): boolean {
  return exists(identity.pid) && startOf(identity.pid) === identity.startedAt;
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

/** When a process started, in ticks since boot; undefined for a zombie and where there is no /proc. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the command in brackets, which may itself hold blanks and brackets.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
