import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { defaultCallsPerSecond } from '../../src/config/values.ts';
import { type BenchApp, createMirror, startBenchDaemon, withBenchServers } from '../support/bench-servers.ts';
import { postgresCpuMs } from '../support/process-time.ts';
import { seedAccounts, seedMirror } from '../support/seed-mirror.ts';

/** How much and how long. */
export interface AppsScale {
  readonly accounts: number;
  readonly warmUpMs: number;
  readonly ms: number;
}

/** How the vendor treats an app. */
type Treatment = 'well' | 'hanging' | 'refused';

export interface AppStats {
  readonly appId: number;
  readonly vendor: Treatment;
  /** As they arrived at the vendor. */
  readonly callsPerSecond: number;
  readonly shareOfRate: number;
  /** The most in any sliding second. */
  readonly worstSecond: number;
}

export interface AppsResult {
  readonly perApp: readonly AppStats[];
  /** Processors kept busy. */
  readonly busy: { readonly daemon: number; readonly postgres: number; readonly vendors: number };
  readonly rssMb: number;
}

/** Of each app. */
export const rate = defaultCallsPerSecond;
const latency = { least: 20, most: 60 };
const changes = 0.01;
/** Of an account: as lively as a hundredth of the calls makes them. Then accounts are always due, and the rate limits. */
const changesPerDay = 200;
const polling = { POLL_MIN_INTERVAL: '1s' };

const treatments: readonly Treatment[] = [
  'well',
  'well',
  'well',
  'hanging',
  'well',
  'well',
  'refused',
  'well',
  'well',
  'well',
];
const apps: readonly (BenchApp & { readonly treatment: Treatment })[] = treatments.map(
  (treatment, index) => ({
    appId: 1_400_000_001 + index,
    secretKey: `the-secret-key-of-app-${index + 1}`,
    treatment,
  }),
);

const origins = z.record(z.string(), z.string());
const stats = z.array(z.object({ appId: z.number(), calls: z.number(), worstSecond: z.number() }));

/** Has one daemon poll ten apps, of which one hangs and one is refused, and counts what arrives at their vendors. */
export async function runApps(
  scale: AppsScale,
  onStep: (share: number, what: string) => void,
): Promise<AppsResult> {
  onStep(0, 'starting servers');
  return withBenchServers(async (servers) => {
    const vendors = servers.helper(new URL('vendors-process.ts', import.meta.url));
    const given = apps.map(({ appId, secretKey }) => ({ appId, secretKey }));
    const reached = await vendors.ask(origins, 'begin', {
      apps: given,
      accounts: scale.accounts,
      callsPerSecond: 200,
      latency,
      changes,
    });
    const held = await Promise.all(
      apps.map(async (app) => ({ app, accounts: await vendors.ask(seedAccounts, 'accounts', app) })),
    );
    onStep(0.1, 'filling the database');
    const { url, db } = await createMirror(
      servers,
      'apps',
      held.map(({ app, accounts }) => ({ app, ids: accounts.map(({ id }) => id) })),
    );
    for (const { app, accounts } of held) await seedMirror(db, app.appId, accounts, changesPerDay);

    const daemon = await startBenchDaemon(servers, {
      databaseUrl: url,
      apps: given.map((app) => ({ ...app, origin: reached[app.appId] ?? '', callsPerSecond: rate })),
      environment: polling,
    });
    onStep(0.3, 'all is well');
    await sleep(scale.warmUpMs / 2);
    for (const app of apps) {
      if (app.treatment === 'hanging') await vendors.send('hang', app);
      if (app.treatment === 'refused') await vendors.send('refuse', app);
    }
    onStep(0.4, 'one app hangs, one is refused');
    await sleep(scale.warmUpMs / 2);

    const read = async () => ({
      at: performance.now(),
      stats: await vendors.ask(stats, 'stats'),
      daemon: await daemon.usage(),
      vendors: await vendors.usage(),
      postgresCpuMs: postgresCpuMs(servers.postgres.folder) ?? Number.NaN,
    });
    const before = await read();
    await sleep(scale.ms);
    const after = await read();
    const ms = after.at - before.at;
    return {
      perApp: apps.map(({ appId, treatment }, index) => {
        const calls = (after.stats[index]?.calls ?? 0) - (before.stats[index]?.calls ?? 0);
        const callsPerSecond = (calls / ms) * 1000;
        return {
          appId,
          vendor: treatment,
          callsPerSecond,
          shareOfRate: callsPerSecond / rate,
          worstSecond: after.stats[index]?.worstSecond ?? Number.NaN,
        };
      }),
      busy: {
        daemon: (after.daemon.cpuMs - before.daemon.cpuMs) / ms,
        postgres: (after.postgresCpuMs - before.postgresCpuMs) / ms,
        vendors: (after.vendors.cpuMs - before.vendors.cpuMs) / ms,
      },
      rssMb: after.daemon.rssMb,
    };
  });
}
