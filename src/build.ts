import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';

/** Which program this is. */
export interface Build {
  readonly version: string;
  /** Null where neither the image nor a checkout reports it. */
  readonly commit: string | null;
  readonly node: string;
}

const root = new URL('../', import.meta.url);
const packageFile = z.object({ version: z.string() });

/** The version in package.json. */
export function readVersion(): string {
  return packageFile.parse(JSON.parse(readFileSync(new URL('package.json', root), 'utf8'))).version;
}

/** The version, and the commit: of the variable that the image sets, or of the checkout. */
export function readBuild(env: Readonly<Record<string, string | undefined>>): Build {
  const commit = env['TIM_MIRROR_COMMIT'] || readCommit();
  return { version: readVersion(), commit: commit ?? null, node: process.version };
}

function readCommit(): string | undefined {
  // A copy inside another repository would report that one's commit.
  if (!existsSync(new URL('.git', root))) return undefined;
  try {
    return execFileSync('git', ['rev-parse', '--short=12', 'HEAD'], {
      cwd: root,
      encoding: 'utf8',
      timeout: 2000,
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    // No git, or a checkout that belongs to another user.
    return undefined;
  }
}
