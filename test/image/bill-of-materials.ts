// npm run sbom: what the image installs, as CycloneDX. `npm sbom --omit dev` leaves out what a package for development
// needs too, pg among it, so the lock file says here what goes into the image.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const root = new URL('../../', import.meta.url);

interface Locked {
  readonly version: string;
  readonly integrity?: string;
  readonly dev?: boolean;
  readonly devOptional?: boolean;
  readonly optional?: boolean;
}

/** A package of the lock file, with its name. */
export interface LockedPackage extends Locked {
  readonly name: string;
}

/** All packages of package-lock.json. */
export function lockedPackages(): readonly LockedPackage[] {
  const { packages } = JSON.parse(readFileSync(new URL('package-lock.json', root), 'utf8')) as {
    packages: Record<string, Locked>;
  };
  return Object.entries(packages)
    .filter(([path]) => path !== '')
    .map(([path, locked]) => ({ ...locked, name: path.split('node_modules/').at(-1) ?? '' }));
}

/** Those that `npm ci --omit=dev --omit=optional` installs. */
export function installedPackages(): readonly LockedPackage[] {
  return lockedPackages().filter(({ dev, devOptional, optional }) => !dev && !devOptional && !optional);
}

interface Bill {
  readonly components: readonly {
    readonly 'bom-ref': string;
    readonly name: string;
    readonly version: string;
  }[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

/** The bill of materials of the image. */
function billOfMaterials(): Bill {
  const all: Bill = JSON.parse(
    execFileSync('npm', ['sbom', '--package-lock-only', '--sbom-format', 'cyclonedx'], {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 64 << 20,
    }),
  );
  const installed = new Set(installedPackages().map(({ name, version }) => `${name}@${version}`));
  const components = all.components.filter(({ name, version }) => installed.has(`${name}@${version}`));
  const left = new Set(all.components.map((component) => component['bom-ref']));
  for (const component of components) left.delete(component['bom-ref']);
  const dependencies = all.dependencies
    .filter(({ ref }) => !left.has(ref))
    .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((other) => !left.has(other)) }));
  return { ...all, components, dependencies };
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(billOfMaterials(), undefined, 2)}\n`);
