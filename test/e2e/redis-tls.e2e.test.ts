import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../../dev/local-servers/free-port.ts';
import { type LocalRedis, plainServer, type RedisPlace, startRedis } from '../../dev/local-servers/redis.ts';
import { canMakeCertificates, makeCertificates, type TestCertificates } from '../support/certificates.ts';
import { daemonEnvironment, runCommand } from '../support/daemon.ts';
import { waitFor } from '../support/wait-for.ts';
import { createWorld } from '../support/world.ts';

const hasOpenssl = canMakeCertificates('test/e2e/redis-tls');

/** A Redis on a port without TLS, for the tests themselves, and on one with it. */
interface TlsRedis {
  readonly server: LocalRedis;
  readonly port: number;
}

let certificates: TestCertificates;
const started: LocalRedis[] = [];

const tlsSettings = (port: number): readonly (readonly [string, string])[] => [
  ['tls-port', String(port)],
  ['tls-cert-file', certificates.certificate],
  ['tls-key-file', certificates.key],
  ['tls-ca-cert-file', certificates.ca],
  ['tls-auth-clients', 'no'],
  ['tls-replication', 'yes'],
];

async function start(args: (place: RedisPlace, tlsPort: number) => readonly string[]): Promise<TlsRedis> {
  const port = await freePort();
  const server = await startRedis({
    say: (sentence) => process.stderr.write(`${sentence}\n`),
    args: (place) => args(place, port),
  });
  started.push(server);
  return { server, port };
}

const single = () =>
  start((place, port) => [
    ...plainServer(place),
    ...tlsSettings(port).flatMap(([name, value]) => [`--${name}`, value]),
  ]);

async function cluster(): Promise<TlsRedis> {
  const busPort = await freePort();
  const node = await start((place, port) => [
    ...plainServer(place),
    ...tlsSettings(port).flatMap(([name, value]) => [`--${name}`, value]),
    ...['--cluster-enabled', 'yes', '--cluster-port', String(busPort), '--tls-cluster', 'yes'],
    // The name that the certificate is for.
    ...['--cluster-announce-hostname', 'localhost', '--cluster-preferred-endpoint-type', 'hostname'],
  ]);
  const redis = new Redis(node.server.url);
  await redis.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
  await waitFor('the cluster', async () => /cluster_state:ok/.test(String(await redis.cluster('INFO'))));
  redis.disconnect();
  return node;
}

async function sentinel(master: TlsRedis): Promise<TlsRedis> {
  return start(({ port, folder }, tlsPort) => {
    const file = join(folder, 'sentinel.conf');
    const lines = [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${folder}`,
      ...tlsSettings(tlsPort).map(([name, value]) => `${name} ${value}`),
      'sentinel resolve-hostnames yes',
      'sentinel announce-hostnames yes',
      `sentinel monitor main localhost ${master.port} 1`,
    ];
    writeFileSync(file, `${lines.join('\n')}\n`);
    return [file, '--sentinel'];
  });
}

type RefusedCase = readonly [
  what: string,
  url: () => string | Promise<string>,
  sentence: RegExp,
  trustsCa: boolean,
];

describe.skipIf(!hasOpenssl)('a Redis that speaks TLS with a CA of its owner’s', () => {
  let master: TlsRedis;

  beforeAll(async () => {
    certificates = makeCertificates();
    master = await single();
  });

  afterAll(async () => {
    await Promise.all(started.map((server) => server.stop()));
    certificates?.[Symbol.dispose]();
  });

  test.each([
    ['rediss://', async () => `rediss://localhost:${master.port}`],
    ['rediss+cluster://', async () => `rediss+cluster://localhost:${(await cluster()).port}`],
    ['rediss+sentinel://', async () => `rediss+sentinel://localhost:${(await sentinel(master)).port}/main`],
  ] as const)('a daemon with %s polls over it', async (_scheme, url) => {
    await using world = await createWorld({ callsPerSecond: 50 });
    world.vendor.truth.addAccount('alice');
    const env = {
      ...daemonEnvironment({ vendor: world.vendor, databaseUrl: world.database.url, redisUrl: await url() }),
      NODE_EXTRA_CA_CERTS: certificates.ca,
    };
    expect(await runCommand(['accounts', 'add', 'alice'], env).ended).toMatchObject({ code: 0 });
    const daemon = runCommand(['start'], env);
    try {
      await waitFor('polls', () => world.vendor.stats().calls >= 2);
    } catch (error) {
      throw new Error(daemon.said(), { cause: error });
    } finally {
      daemon.child.kill('SIGTERM');
      await daemon.ended;
    }
    expect(daemon.said()).not.toMatch(/unhandled|certificate/i);
  });

  test('a certificate that is trusted no longer is said by a daemon that runs, and polling goes on when it is again', async () => {
    await using world = await createWorld({ callsPerSecond: 50 });
    using strange = makeCertificates();
    world.vendor.truth.addAccount('alice');
    const redisUrl = `rediss://localhost:${master.port}`;
    const env = {
      ...daemonEnvironment({ vendor: world.vendor, databaseUrl: world.database.url, redisUrl }),
      NODE_EXTRA_CA_CERTS: certificates.ca,
    };
    expect(await runCommand(['accounts', 'add', 'alice'], env).ended).toMatchObject({ code: 0 });
    const admin = new Redis(master.server.url);
    const show = async ({ certificate, key }: TestCertificates) => {
      await admin.call('CONFIG', 'SET', 'tls-cert-file', certificate, 'tls-key-file', key);
      await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    };
    const daemon = runCommand(['start'], env);
    const polled = async (what: string) => {
      const { calls } = world.vendor.stats();
      await waitFor(what, () => world.vendor.stats().calls > calls + 1, 60_000);
    };
    try {
      await polled('polls');
      await show(strange);
      await waitFor(
        'the daemon to say it',
        () => daemon.said().includes('shows a certificate that is not trusted'),
        60_000,
      );
      await show(certificates);
      await polled('polls again');
    } catch (error) {
      throw new Error(daemon.said(), { cause: error });
    } finally {
      daemon.child.kill('SIGTERM');
      admin.disconnect();
    }
    expect((await daemon.ended).code).toBe(0);
    expect(daemon.said()).not.toMatch(/unhandled/i);
  });

  test.each([
    [
      'a certificate whose CA was not named',
      () => `rediss://localhost:${master.port}`,
      /Redis at localhost:\d+ \(TLS\) shows a certificate that is not trusted.*NODE_EXTRA_CA_CERTS/,
      false,
    ],
    [
      'sentinels whose CA was not named',
      async () => `rediss+sentinel://localhost:${(await sentinel(master)).port}/main`,
      /Redis at localhost:\d+ shows a certificate that is not trusted.*NODE_EXTRA_CA_CERTS/,
      false,
    ],
    [
      'nodes of a cluster whose CA was not named',
      async () => `rediss+cluster://localhost:${(await cluster()).port}`,
      /Redis at localhost:\d+ shows a certificate that is not trusted.*NODE_EXTRA_CA_CERTS/,
      false,
    ],
    [
      'TLS on a port without it',
      () => `rediss://localhost:${master.server.port}`,
      /Redis at localhost:\d+ \(TLS\) .*whether it speaks TLS there \(rediss\) or not \(redis\)/,
      false,
    ],
    [
      'a certificate for another host',
      () => `rediss://127.0.0.1:${master.port}`,
      /Redis at 127\.0\.0\.1:\d+ \(TLS\) shows a certificate for another host/,
      true,
    ],
    [
      'no TLS on a port with it',
      () => `redis://localhost:${master.port}`,
      /Redis at localhost:\d+ .*whether it speaks TLS there \(rediss\) or not \(redis\)/,
      false,
    ],
  ] as readonly RefusedCase[])(
    '%s ends start in a sentence that says what to do',
    async (_what, url, sentence, trustsCa) => {
      await using world = await createWorld({ callsPerSecond: 50 });
      const env = daemonEnvironment({
        vendor: world.vendor,
        databaseUrl: world.database.url,
        redisUrl: await url(),
        ...(trustsCa ? { env: { NODE_EXTRA_CA_CERTS: certificates.ca } } : {}),
      });
      const { code, stderr } = await runCommand(['start'], env).ended;
      expect([code, stderr]).toEqual([1, expect.stringMatching(sentence)]);
    },
  );
});
