import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** Whether Debian's packages can be installed here: root on Debian can. */
export function canInstallPackages(): boolean {
  return process.getuid?.() === 0 && existsSync('/etc/debian_version');
}

/** Installs one of Debian's packages by apt, without what it only recommends. It may fail: look for what it brings. */
export function installPackage(name: string): void {
  const quiet = {
    stdio: 'ignore',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', DEBIAN_FRONTEND: 'noninteractive' },
  } as const;
  spawnSync('apt-get', ['update'], quiet);
  spawnSync('apt-get', ['install', '--yes', '--no-install-recommends', name], quiet);
}
