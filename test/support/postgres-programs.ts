import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { canInstallPackages, installPackage } from '../../dev/local-servers/debian-package.ts';

/** npm brings a server, and neither of the programs that dump and restore. */
const needed = ['initdb', 'postgres', 'pg_dump', 'pg_restore'];
const oldest = 15;

/** Folders in which a PostgreSQL may lie, the newest version first. */
function places(): readonly string[] {
  const root = '/usr/lib/postgresql';
  const versions = existsSync(root) ? readdirSync(root).map(Number).filter(Number.isInteger) : [];
  return [
    ...versions
      .filter((version) => version >= oldest)
      .toSorted((one, other) => other - one)
      .map((version) => join(root, String(version), 'bin')),
    '/usr/local/pgsql/bin',
    '/opt/homebrew/bin',
  ];
}

/** The folder of PostgreSQL's programs, installed where that is possible; empty, with the reason printed, where there is none. */
export function findPostgresPrograms(say: (sentence: string) => void): string {
  const find = () => places().find((folder) => needed.every((program) => existsSync(join(folder, program))));
  const found = find();
  if (found !== undefined) return found;
  if (canInstallPackages()) {
    say('No pg_dump: installing Debian’s package postgresql by apt, for the test of backup and restore.');
    installPackage('postgresql');
  }
  const installed = find();
  if (installed === undefined)
    say(
      `There is no PostgreSQL ${oldest} or newer with pg_dump, so the test of backup and restore is skipped; install one to run it.`,
    );
  return installed ?? '';
}
