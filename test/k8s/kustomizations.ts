import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse, parseAllDocuments } from 'yaml';

/** A manifest as it is in a file. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly file: string;
  // What else is in it depends on its kind.
  readonly [key: string]: unknown;
}

interface Kustomization {
  readonly resources?: readonly string[];
  readonly components?: readonly string[];
  readonly patches?: readonly { readonly path: string }[];
  readonly configMapGenerator?: readonly Generator[];
  readonly secretGenerator?: readonly Generator[];
}

interface Generator {
  readonly name: string;
  readonly files?: readonly string[];
  readonly envs?: readonly string[];
  readonly literals?: readonly string[];
}

/** What a kustomization leads to, and what is wrong with it. */
export interface Resolved {
  readonly manifests: readonly Manifest[];
  /** Names of the ConfigMaps and Secrets that are made. */
  readonly generated: readonly string[];
  readonly problems: readonly string[];
}

export const k8sFolder = fileURLToPath(new URL('../../k8s', import.meta.url));

/** Follows a kustomization without kustomize: everything it lists must be there, and every patch must find its target. */
export function resolveKustomization(folder: string): Resolved {
  const file = join(folder, 'kustomization.yaml');
  if (!existsSync(file)) return { manifests: [], generated: [], problems: [`${file} is missing`] };
  const kustomization = parse(readFileSync(file, 'utf8')) as Kustomization;
  const manifests: Manifest[] = [];
  const generated: string[] = [];
  const problems: string[] = [];

  for (const entry of [...(kustomization.resources ?? []), ...(kustomization.components ?? [])]) {
    const path = join(folder, entry);
    if (!existsSync(path)) {
      problems.push(`${file}: ${entry} is missing`);
    } else if (entry.endsWith('.yaml')) {
      manifests.push(...readManifests(path));
    } else {
      const below = resolveKustomization(path);
      manifests.push(...below.manifests);
      generated.push(...below.generated);
      problems.push(...below.problems);
    }
  }
  for (const { name, files = [], envs = [] } of [
    ...(kustomization.configMapGenerator ?? []),
    ...(kustomization.secretGenerator ?? []),
  ]) {
    generated.push(name);
    for (const named of [...files.map((entry) => entry.split('=').at(-1) ?? ''), ...envs]) {
      if (!existsSync(join(folder, named))) problems.push(`${file}: ${named} is missing`);
    }
  }
  for (const { path } of kustomization.patches ?? []) {
    for (const patch of readManifests(join(folder, path))) {
      const found = manifests.some(
        ({ kind, metadata }) => kind === patch.kind && metadata.name === patch.metadata.name,
      );
      if (!found) problems.push(`${file}: nothing is there for ${path} to patch`);
    }
  }
  return { manifests, generated, problems };
}

/** The manifests of a file. */
export function readManifests(file: string): readonly Manifest[] {
  return parseAllDocuments(readFileSync(file, 'utf8')).map((document) => {
    if (document.errors.length > 0) throw new Error(`${file}: ${document.errors[0]?.message}`);
    return { ...(document.toJS() as Manifest), file };
  });
}
