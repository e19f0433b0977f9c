import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { installedPackages, lockedPackages } from './bill-of-materials.ts';

const root = new URL('../../', import.meta.url);
const read = (file: string) => readFileSync(new URL(file, root), 'utf8');

test('every package of the lock file has a SHA-512, so that npm ci takes these bytes or none', () => {
  const locked = lockedPackages();
  expect(locked.length).toBeGreaterThan(100);
  const without = locked.filter(({ integrity }) => !/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity ?? ''));
  expect(without.map(({ name }) => name)).toEqual([]);
});

test('the lock file takes no package from a folder, a repository or a place without TLS', () => {
  expect(read('package-lock.json')).not.toMatch(/"(git\+|file:|http:)/);
});

test('the base of the image is a version and a digest, of the Node that package.json asks for', () => {
  const bases = [...read('Dockerfile').matchAll(/^FROM (.*)$/gm)].map(([, base]) => base);
  expect(bases).toHaveLength(1);
  const [, major] = /^node:(\d+)\.\d+\.\d+-slim@sha256:[0-9a-f]{64}$/.exec(bases[0] ?? '') ?? [];
  expect(JSON.parse(read('package.json')).engines.node).toBe(`>=${major}`);
});

interface Component {
  readonly name: string;
  readonly version: string;
  readonly licenses?: readonly { readonly license: { readonly id?: string; readonly name?: string } }[];
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
}

test('the bill of materials names just what the image installs, with hash and licence', () => {
  const text = execFileSync('npm', ['run', '-s', 'sbom'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  });
  const { components } = JSON.parse(text) as { components: readonly Component[] };
  const installed = installedPackages().map(({ name, version, integrity = '' }) => [
    `${name}@${version}`,
    Buffer.from(integrity.slice('sha512-'.length), 'base64').toString('hex'),
  ]);
  const reported = components.map(({ name, version, hashes }) => [
    `${name}@${version}`,
    hashes?.find(({ alg }) => alg === 'SHA-512')?.content,
  ]);
  const inOrder = (rows: readonly (readonly unknown[])[]) =>
    [...new Set(rows.map((row) => row.join(' ')))].sort();
  expect(inOrder(reported)).toEqual(inOrder(installed));
  const unlicensed = components.filter(({ licenses }) => !licenses?.length);
  expect(unlicensed.map(({ name }) => name)).toEqual([]);
});
