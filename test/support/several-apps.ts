import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { enrolAccounts } from '../../db/queries/accounts.ts';
import { ensureApp } from '../../db/queries/apps.ts';
import { populate, randomChange } from '../../src/simulator/population.ts';
import { createRandom } from '../../src/simulator/random.ts';
import { type Simulator, startSimulator } from '../../src/simulator/server.ts';
import { bypassRemovalBreaker } from './bypass-removal-breaker.ts';
import { type Command, daemonEnvironment, runCommand } from './daemon.ts';
import { createTestDatabase, type TestDatabase, type TestDatabaseOptions } from './database.ts';
import { waitFor } from './wait-for.ts';
import { testSeed } from './world.ts';

export interface AppSize {
  readonly accounts: number;
  readonly callsPerSecond: number;
}

/** An app with a vendor of its own. */
export interface TestApp extends AppSize {
  readonly appId: number;
  readonly vendor: Simulator;
  readonly ids: readonly string[];
}

/** Several apps in one database, and the daemons that mirror them. */
export interface SeveralApps extends AsyncDisposable {
  readonly database: TestDatabase;
  readonly apps: readonly TestApp[];
  /** Starts a daemon for the first `count` apps, or all, and waits until it runs. Those still running at the end are killed. */
  start(env: Readonly<Record<string, string>>, count?: number): Promise<Command>;
  /** Random changes of every app all along, until `stop` is called. */
  keepChanging(perSecond: number): { stop: () => void };
}

const program = fileURLToPath(new URL('./daemon-process.ts', import.meta.url));

/** This many apps of one size. */
export const alike = (apps: number, size: AppSize): readonly AppSize[] =>
  Array.from({ length: apps }, () => size);

/** Makes apps with accounts as people have them, and enrols them. */
export async function createSeveralApps(
  sizes: readonly AppSize[],
  options: TestDatabaseOptions = {},
): Promise<SeveralApps> {
  const random = createRandom(testSeed());
  const database = await createTestDatabase(options);
  const folder = mkdtempSync(join(tmpdir(), 'tim-mirror-apps-'));
  const apps: TestApp[] = [];
  const daemons: Command[] = [];
  for (const [index, size] of sizes.entries()) {
    const appId = 1_400_000_000 + index;
    const vendor = await startSimulator({ appId, secretKey: keyOf(appId) }, random);
    const ids = populate(vendor.truth, size.accounts, random);
    await ensureApp(database.db, { appId, callsPerSecond: size.callsPerSecond });
    await enrolAccounts(database.db, appId, ids.toSorted());
    apps.push({ appId, vendor, ids, ...size });
  }
  await bypassRemovalBreaker(database.db);
  function writeFile(count: number): string {
    const file = join(folder, `${count}-apps.json`);
    const entries = apps.slice(0, count).map(({ appId, vendor, callsPerSecond }) => ({
      sdkAppId: appId,
      secretKey: keyOf(appId),
      endpoint: vendor.origin,
      callsPerSecond,
    }));
    writeFileSync(file, JSON.stringify(entries));
    return file;
  }

  return {
    database,
    apps,
    async start(env, count = apps.length) {
      const vendor = apps[0]?.vendor;
      if (vendor === undefined) throw new Error('there is no app');
      const { TIM_SDK_APP_ID: _, ...common } = daemonEnvironment({ vendor, databaseUrl: database.url, env });
      const daemon = runCommand([], { ...common, TIM_APPS_FILE: writeFile(count) }, { program });
      daemons.push(daemon);
      await waitFor('the daemon to run', () => {
        if (daemon.child.exitCode !== null) throw new Error(daemon.said());
        return daemon.said().includes('tim-mirror runs');
      });
      return daemon;
    },
    keepChanging(perSecond) {
      const timer = setInterval(() => {
        const { vendor, ids } = random.pick(apps);
        const id = random.pick(ids);
        vendor.truth.change(id, randomChange(vendor.truth, id, ids, random));
      }, 1000 / perSecond);
      return { stop: () => clearInterval(timer) };
    },
    async [Symbol.asyncDispose]() {
      for (const daemon of daemons) daemon.child.kill('SIGKILL');
      await Promise.all(daemons.map((daemon) => daemon.ended));
      await Promise.all(apps.map(({ vendor }) => vendor.close()));
      await database[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function keyOf(appId: number): string {
  return `the-secret-key-of-app-${appId}`;
}
