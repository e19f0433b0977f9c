import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Manifest } from './kustomizations.ts';

type Models = Readonly<Record<string, new (manifest: object) => { validate(): void }>>;

/** What Kubernetes' JSON schema of its kind finds wrong with a manifest; undefined when nothing. */
export async function findSchemaError(manifest: Manifest): Promise<string | undefined> {
  const models = (await import(moduleOf(manifest))) as Models;
  const Model = models[manifest.kind];
  if (Model === undefined) return `no schema is known for ${manifest.apiVersion} ${manifest.kind}`;
  try {
    new Model(withoutFile(manifest)).validate();
    return undefined;
  } catch (error) {
    return error instanceof Error ? `${manifest.file}: ${error.message}` : String(error);
  }
}

/**
 * What a strict server would find wrong: names of fields that no schema knows, which schemas themselves let pass.
 * The compiler knows them; it is given the manifests as literals of their types.
 */
export function findUnknownFields(manifests: readonly Manifest[]): string {
  const folder = fileURLToPath(new URL('../../node_modules/.cache/tim-mirror', import.meta.url));
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `manifests-${process.pid}.ts`);
  const lines = manifests.map((manifest, index) => {
    const type = `import('${moduleOf(manifest)}').I${manifest.kind}`;
    return `// ${manifest.file}\nexport const manifest${index}: ${type} = ${JSON.stringify(withoutFile(manifest))};`;
  });
  writeFileSync(file, lines.join('\n'));
  const compiler = fileURLToPath(new URL('../../node_modules/.bin/tsc', import.meta.url));
  const options = ['--ignoreConfig', '--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext'];
  const { stdout } = spawnSync(compiler, [...options, file], { cwd: dirname(file), encoding: 'utf8' });
  return stdout;
}

/** Where the models of an API are. */
function moduleOf({ apiVersion }: Manifest): string {
  return apiVersion.startsWith('monitoring.coreos.com/')
    ? `@kubernetes-models/prometheus-operator/${apiVersion}`
    : `kubernetes-models/${apiVersion}`;
}

function withoutFile({ file: _, ...manifest }: Manifest): object {
  return manifest;
}
