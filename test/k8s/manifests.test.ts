import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { BlockList } from 'node:net';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { parseConfig } from '../../src/config/config.ts';
import { k8sFolder, type Manifest, readManifests, resolveKustomization } from './kustomizations.ts';
import { findSchemaError, findUnknownFields } from './schemas.ts';

const overlays = ['dev', 'production'] as const;
const resolved = Object.fromEntries(
  overlays.map((name) => [name, resolveKustomization(join(k8sFolder, 'overlays', name))]),
);
const files = readdirSync(k8sFolder, { recursive: true, encoding: 'utf8' })
  // A patch is a part of what it patches.
  .filter((file) => file.endsWith('.yaml') && !/(kustomization|\.patch)\.yaml$/.test(file))
  .map((file) => join(k8sFolder, file));
const manifests = files.flatMap(readManifests);
const hasKubectl = spawnSync('kubectl', ['kustomize', '--help'], { stdio: 'ignore' }).status === 0;

interface Container {
  readonly name: string;
  readonly image: string;
  readonly resources?: { readonly requests?: object; readonly limits?: object };
  readonly securityContext?: Readonly<Record<string, unknown>>;
  readonly env?: readonly { readonly name: string; readonly value: string }[];
  readonly lifecycle?: { readonly preStop: { readonly exec: { readonly command: readonly string[] } } };
}

interface PodSpec {
  readonly automountServiceAccountToken?: boolean;
  readonly terminationGracePeriodSeconds?: number;
  readonly securityContext?: Readonly<Record<string, unknown>>;
  readonly containers: readonly Container[];
}

const podOf = (manifest: Manifest) =>
  (manifest['spec'] as { template?: { spec: PodSpec } } | undefined)?.template?.spec;

describe.each(overlays)('overlay %s', (name) => {
  test('lists what is there, patches what is there, and makes ConfigMap and Secret out of files that are there', () => {
    expect(resolved[name]?.problems).toEqual([]);
    expect(resolved[name]?.generated).toContain('tim-mirror');
    const kinds = resolved[name]?.manifests.map(({ kind }) => kind) ?? [];
    for (const kind of [
      'Deployment',
      'Job',
      'NetworkPolicy',
      'PodDisruptionBudget',
      'Service',
      'ServiceAccount',
    ]) {
      expect(kinds).toContain(kind);
    }
  });

  test.skipIf(!hasKubectl)('is what kustomize makes of it, and that fits the schemas too', async () => {
    const { stdout, stderr, status } = spawnSync(
      'kubectl',
      ['kustomize', join(k8sFolder, 'overlays', name)],
      {
        encoding: 'utf8',
      },
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const built = parseAllDocuments(stdout).map((document) => ({
      ...(document.toJS() as Manifest),
      file: name,
    }));
    for (const manifest of built) expect(await findSchemaError(manifest)).toBeUndefined();
    const kept = resolved[name]?.manifests.map(({ kind, metadata }) => `${kind} ${metadata.name}`) ?? [];
    expect(built.map(({ kind, metadata }) => `${kind} ${metadata.name}`)).toEqual(
      expect.arrayContaining([...kept]),
    );
    // A generated name carries a hash; every reference to it must.
    const references = JSON.stringify(built).match(/"configMapRef":\{"name":"[^"]+"/g) ?? [];
    expect(references.length).toBeGreaterThan(0);
    for (const reference of references) expect(reference).toMatch(/tim-mirror-[a-z0-9]{10}"/);
  });
});

interface EgressRule {
  readonly to?: readonly {
    readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] };
    readonly namespaceSelector?: unknown;
    readonly podSelector?: unknown;
  }[];
  readonly ports: readonly { readonly protocol: 'TCP' | 'UDP'; readonly port: number }[];
}

/** Whether the network policies of an overlay let the daemon out to an address outside the cluster. */
function letsOut(name: string, address: string, port: number): boolean {
  const rules = (resolved[name]?.manifests ?? [])
    .filter(({ kind }) => kind === 'NetworkPolicy')
    .flatMap(({ spec }) => (spec as { readonly egress?: readonly EgressRule[] }).egress ?? []);
  const familyOf = (text: string) => (text.includes(':') ? 'ipv6' : 'ipv4');
  const contains = (cidr: string) => {
    const [net = '', prefix] = cidr.split('/');
    const block = new BlockList();
    block.addSubnet(net, Number(prefix), familyOf(net));
    // An address of the other family would be compared as an IPv4-mapped one.
    return familyOf(net) === familyOf(address) && block.check(address, familyOf(address));
  };
  return rules.some(
    ({ to, ports }) =>
      ports.some((each) => each.port === port) &&
      (to === undefined ||
        to.some(
          ({ ipBlock }) => ipBlock !== undefined && contains(ipBlock.cidr) && !ipBlock.except?.some(contains),
        )),
  );
}

test.each([
  ['a Postgres at a private address', '10.1.2.3', 5432, true],
  ['a Redis at a private address', 'fd00::5', 6379, true],
  ['the vendor', '203.0.113.7', 443, true],
  ['the vendor over IPv6', '2001:db8::7', 443, true],
  ['a foreign Postgres on the Internet', '203.0.113.7', 5432, false],
  ['a foreign Redis on the Internet', '2001:db8::7', 6379, false],
  ['the API of the cluster', '10.96.0.1', 443, false],
  ['the cloud’s metadata', '169.254.169.254', 80, false],
  ['the cloud’s metadata over TLS', '169.254.169.254', 443, false],
  ['a foreign name server', '203.0.113.7', 53, false],
  ['any other port', '203.0.113.7', 25, false],
] as const)('the production overlay’s network policy: %s', (_where, address, port, allowed) => {
  expect(letsOut('production', address, port)).toBe(allowed);
});

describe.skipIf(!hasKubectl)('the production overlay', () => {
  test.each([
    ['hooks', { WEBHOOK_TOKEN_FILE: '/run/secrets/tim-mirror/webhook-token' }, ['TIM_SECRET_KEY_FILE'], []],
    ['apps-file', { TIM_APPS_FILE: '/run/secrets/tim-mirror/apps.json' }, [], ['TIM_SECRET_KEY_FILE']],
  ])('takes the component %s', async (component, added, kept, gone) => {
    const folder = mkdtempSync(join(tmpdir(), 'tim-mirror-k8s-'));
    const path = (below: string) => relative(folder, join(k8sFolder, below));
    writeFileSync(
      join(folder, 'kustomization.yaml'),
      `resources: ["${path('overlays/production')}"]\ncomponents: ["${path(`components/${component}`)}"]\n`,
    );
    const { stdout, stderr } = spawnSync('kubectl', ['kustomize', folder], { encoding: 'utf8' });
    rmSync(folder, { recursive: true });
    expect(stderr).toBe('');
    const built = parseAllDocuments(stdout).map((document) => ({
      ...(document.toJS() as Manifest),
      file: component,
    }));
    for (const manifest of built) expect(await findSchemaError(manifest)).toBeUndefined();
    expect(findUnknownFields(built)).toBe('');
    const daemon = built.find(
      ({ kind, metadata }) => kind === 'Deployment' && metadata.name === 'tim-mirror',
    );
    const env = Object.fromEntries(
      (daemon && podOf(daemon)?.containers[0]?.env)?.map(({ name, value }) => [name, value]) ?? [],
    );
    expect(env).toMatchObject(added);
    expect(Object.keys(env)).toEqual(
      expect.arrayContaining([...kept, 'DATABASE_URL_FILE', 'ADMIN_TOKEN_FILE']),
    );
    for (const name of gone) expect(env).not.toHaveProperty(name);
  });
});

test('every manifest fits the JSON schema of its kind', async () => {
  expect(manifests.length).toBeGreaterThan(15);
  for (const manifest of manifests) {
    expect(await findSchemaError(manifest)).toBeUndefined();
  }
});

test('a manifest that does not fit is noticed', async () => {
  const service = manifests.find(({ kind }) => kind === 'Service');
  expect(await findSchemaError({ ...(service as Manifest), spec: { ports: [{ port: 'http' }] } })).toMatch(
    /port/,
  );
});

test('no manifest has a field that its kind does not know', () => {
  expect(findUnknownFields(manifests)).toBe('');
  const typo = {
    ...manifests.find(({ kind }) => kind === 'Service'),
    spec: { type: 'ClusterIP', prots: [] },
  } as unknown;
  expect(findUnknownFields([typo as Manifest])).toContain('prots');
});

test.each(
  manifests.flatMap((manifest) => {
    const pod = podOf(manifest);
    return pod === undefined ? [] : [[`${manifest.kind} ${manifest.metadata.name}`, pod] as const];
  }),
)('the pods of %s may do nothing that they need not do', (_, pod) => {
  expect(pod.automountServiceAccountToken).toBe(false);
  expect(pod.securityContext).toMatchObject({
    runAsNonRoot: true,
    seccompProfile: { type: 'RuntimeDefault' },
  });
  for (const container of pod.containers) {
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    expect(Object.keys(container.resources?.requests ?? {})).toEqual(['cpu', 'memory']);
    expect(Object.keys(container.resources?.limits ?? {})).toEqual(['cpu', 'memory']);
    expect(container.image).not.toMatch(/:latest$/);
  }
});

describe('the daemon', () => {
  const deployment = manifests.find(
    ({ kind, metadata }) => kind === 'Deployment' && metadata.name === 'tim-mirror',
  );
  const pod = deployment === undefined ? undefined : podOf(deployment);
  const [container] = pod?.containers ?? [];

  test('has more time to stop than it takes: preStop and its own grace', () => {
    const start = readFileSync(new URL('../../workers/start.ts', import.meta.url), 'utf8');
    const graceMs = Number(/defaultGraceMs = ([\d_]+)/.exec(start)?.[1]?.replaceAll('_', ''));
    const preStop = Number(container?.lifecycle?.preStop.exec.command[1]);
    expect(pod?.terminationGracePeriodSeconds).toBeGreaterThan(preStop + graceMs / 1000);
  });

  test('has three probes, and two replicas spread over hosts', () => {
    expect(container).toMatchObject({
      startupProbe: { httpGet: { path: '/livez' } },
      livenessProbe: { httpGet: { path: '/livez' } },
      readinessProbe: { httpGet: { path: '/readyz' } },
    });
    expect(deployment).toMatchObject({
      spec: {
        replicas: 2,
        template: {
          spec: {
            topologySpreadConstraints: expect.arrayContaining([
              expect.objectContaining({ topologyKey: 'kubernetes.io/hostname' }),
            ]),
          },
        },
      },
    });
  });

  test('is configured by variables that it knows, with values that it takes', () => {
    const variables = readFileSync(join(k8sFolder, 'base/tim-mirror.env'), 'utf8');
    const env = Object.fromEntries(
      variables
        .trim()
        .split('\n')
        .map((line) => line.split('=', 2) as [string, string]),
    );
    const source = readFileSync(new URL('../../src/config/config.ts', import.meta.url), 'utf8');
    for (const variable of Object.keys(env)) expect(source).toContain(`  ${variable}:`);
    const secrets = parse(readFileSync(join(k8sFolder, 'base/secret.example.yaml'), 'utf8')).stringData;
    const fromFiles = Object.fromEntries((container?.env ?? []).map(({ name, value }) => [name, value]));
    const config = parseConfig(
      {
        env: { ...env, ...fromFiles, TIM_SDK_APP_ID: '1400000000' },
        readFile: (path) => secrets[path.split('/').at(-1) ?? ''],
      },
      ['app', 'credentials', 'database'],
    );
    expect(config).toMatchObject({
      http: { host: '0.0.0.0', port: 8080 },
      redis: { kind: 'single', url: secrets['redis-url'] },
      adminToken: secrets['admin-token'],
    });
  });
});
