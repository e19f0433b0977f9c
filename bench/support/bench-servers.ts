import { sql } from 'kysely';
import { z } from 'zod';
import { connect, type Database } from '../../db/client.ts';
import { migrate } from '../../db/migrate.ts';
import { enrolAccounts } from '../../db/queries/accounts.ts';
import { ensureApp } from '../../db/queries/apps.ts';
import { sweepAbandonedFolders } from '../../dev/local-servers/owned-folder.ts';
import { type LocalPostgres, startPostgres } from '../../dev/local-servers/postgres.ts';
import { type LocalRedis, startRedis } from '../../dev/local-servers/redis.ts';
import { defaultCallsPerSecond } from '../../src/config/values.ts';
import type { DaemonOrder } from './daemon-process.ts';
import { type HelperProcess, startHelper } from './helper-process.ts';
import { type SeedAccount, seedAccounts, seedMirror } from './seed-mirror.ts';

/** Servers of a bench's own, and the processes it has started on them. */
export interface BenchServers {
  readonly postgres: LocalPostgres;
  readonly redis: LocalRedis;
  /** Starts a module of the bench in a process that ends with the bench. */
  helper(module: URL, execArgv?: readonly string[]): HelperProcess;
  /** An empty database. */
  createDatabase(name: string): Promise<string>;
  /** A connection that is closed with the servers. */
  connect(databaseUrl: string): Database;
  stop(): Promise<void>;
}

/** Starts Postgres and Redis on free ports; no commit waits for the disk, which others of the machine keep busy. */
async function startBenchServers(): Promise<BenchServers> {
  await sweepAbandonedFolders();
  const closers: (() => Promise<unknown>)[] = [];
  const stop = async () => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    const postgres = await startPostgres({ durable: false });
    closers.push(() => postgres.stop());
    const redis = await startRedis({ say: (sentence) => process.stderr.write(`${sentence}\n`) });
    closers.push(() => redis.stop());
    const open = (url: string) => {
      const db = connect({ url, applicationName: 'bench', maxConnections: 4, onIdleError: () => undefined });
      closers.push(() => db.destroy());
      return db;
    };
    const server = open(postgres.url());
    return {
      postgres,
      redis,
      helper(module, execArgv) {
        const helper = startHelper(module, execArgv);
        closers.push(() => helper.end());
        return helper;
      },
      async createDatabase(name) {
        await sql`create database ${sql.id(name)}`.execute(server);
        return postgres.url(name);
      },
      connect: open,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Starts servers, and stops them when `use` has ended, well or badly. */
export async function withBenchServers<T>(use: (servers: BenchServers) => Promise<T>): Promise<T> {
  const servers = await startBenchServers();
  try {
    return await use(servers);
  } finally {
    await servers.stop();
  }
}

/** An app of a bench. */
export interface BenchApp {
  readonly appId: number;
  readonly secretKey: string;
}

/** The app of a bench that needs only one. */
export const benchApp: BenchApp = { appId: 1_400_000_000, secretKey: 'the-secret-key-of-the-benches' };

/** The simulated vendor in its process. */
export interface BenchVendor {
  readonly process: HelperProcess;
  readonly origin: string;
  readonly ids: readonly string[];
  calls(): Promise<number>;
  /** What every account holds now. */
  accounts(): Promise<readonly SeedAccount[]>;
}

const begun = z.object({ origin: z.string(), ids: z.array(z.string()) });
const stats = z.object({ calls: z.number() });

/** Starts a vendor that knows no limit, or the one given. */
export async function startBenchVendor(
  servers: BenchServers,
  app: BenchApp,
  options: {
    readonly accounts: number;
    readonly members?: number;
    readonly callsPerSecond?: number;
    readonly latency?: { readonly least: number; readonly most: number };
  },
): Promise<BenchVendor> {
  const vendor = servers.helper(new URL('vendor-process.ts', import.meta.url));
  const { origin, ids } = await vendor.ask(begun, 'begin', { callsPerSecond: 1_000_000, ...app, ...options });
  return {
    process: vendor,
    origin,
    ids,
    calls: async () => (await vendor.ask(stats, 'stats')).calls,
    accounts: () => vendor.ask(seedAccounts, 'accounts'),
  };
}

/** A migrated database in which these accounts are enrolled. */
export async function createMirror(
  servers: BenchServers,
  name: string,
  apps: readonly { readonly app: BenchApp; readonly ids: readonly string[] }[],
): Promise<{ readonly url: string; readonly db: Database }> {
  const url = await servers.createDatabase(name);
  const db = servers.connect(url);
  await migrate(db);
  for (const { app, ids } of apps) {
    await ensureApp(db, { appId: app.appId, callsPerSecond: defaultCallsPerSecond });
    await enrolAccounts(db, app.appId, ids.toSorted());
  }
  // The others are empty. Had it counted them, Postgres would plan for empty tables while they fill, until it looks again.
  await sql`vacuum analyze mirror.account, mirror.poll_state`.execute(db);
  return { url, db };
}

/** A vendor, and a mirror of it that seems to have read all accounts a moment ago; `changesPerDay` as for `seedMirror`. */
export async function createSeededMirror(
  servers: BenchServers,
  name: string,
  vendorOptions: Parameters<typeof startBenchVendor>[2],
  changesPerDay?: number,
): Promise<{ readonly vendor: BenchVendor; readonly url: string; readonly db: Database }> {
  const vendor = await startBenchVendor(servers, benchApp, vendorOptions);
  const mirror = await createMirror(servers, name, [{ app: benchApp, ids: vendor.ids }]);
  await seedMirror(mirror.db, benchApp.appId, await vendor.accounts(), changesPerDay);
  return { vendor, ...mirror };
}

/** The options of Node in the first line of bin/tim-mirror.ts. */
const asStarted = ['--max-semi-space-size=2'];

/** Starts the daemon in its process. */
export async function startBenchDaemon(
  servers: BenchServers,
  order: Omit<DaemonOrder, 'redisUrl'>,
  execArgv: readonly string[] = [],
): Promise<HelperProcess> {
  const daemon = servers.helper(new URL('daemon-process.ts', import.meta.url), [...asStarted, ...execArgv]);
  await daemon.send('begin', { ...order, redisUrl: servers.redis.url });
  return daemon;
}
