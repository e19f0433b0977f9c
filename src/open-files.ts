import { readFileSync } from 'node:fs';

/**
 * What a replica may have open at once: 1,500 calls of a vendor that hangs for eight seconds, and a few hundred requests
 * and connections to servers.
 */
export const neededOpenFiles = 2048;

/** How many files and connections this process may have open; undefined where the system does not report. */
export function openFilesLimit(): number | undefined {
  try {
    const line = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'));
    return line === null ? undefined : Number(line[1]);
  } catch {
    return undefined;
  }
}
