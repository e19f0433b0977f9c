import { lstatSync, mkdirSync, type Stats } from 'node:fs';
import { dirname } from 'node:path';

const writableByOthers = 0o022;
const openToOthers = 0o077;
const sticky = 0o1000;

/** Who this process acts as; undefined where files have no such owner. */
export function ownUser(): number | undefined {
  return process.geteuid?.();
}

/** Whether a file or folder is this user's, and no other user may write it. A link belongs to no user. */
export function isOwn(stats: Stats): boolean {
  return !stats.isSymbolicLink() && stats.uid === ownUser() && (stats.mode & writableByOthers) === 0;
}

/**
 * Makes a folder that only this user may enter, below one that others may write to, or finds it so. False where it is
 * another user's, open to others or a link, or where others could put another in its place.
 */
export function isPrivateFolder(folder: string): boolean {
  try {
    const above = lstatSync(dirname(folder));
    const replaceable = (above.mode & writableByOthers) !== 0 && (above.mode & sticky) === 0;
    if (replaceable || ![0, ownUser()].includes(above.uid)) return false;
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) return false;
  }
  try {
    const stats = lstatSync(folder);
    return stats.isDirectory() && isOwn(stats) && (stats.mode & openToOthers) === 0;
  } catch {
    return false;
  }
}
