import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { CommandError } from '../../bin/command-error.ts';
import { enrolIds, enrolList } from '../../bin/commands/accounts/lists.ts';
import { chooseApp, readEnvironment } from '../../bin/environment.ts';
import { onSignals } from '../../bin/signals.ts';
import { connect, type Database } from '../../db/client.ts';
import { migrate } from '../../db/migrate.ts';
import { readNewestChanges } from '../../db/queries/changes.ts';
import { readMirrorRows, readMirrorTotals } from '../../db/queries/mirror.ts';
import { type Config, secretsOf } from '../../src/config/config.ts';
import { createLogger } from '../../src/log.ts';
import { createScrubber } from '../../src/scrubber.ts';
import { compareWithTruth } from '../../src/simulator/compare.ts';
import { readStatus } from '../../src/status/read-status.ts';
import { count } from '../../src/terminal/numbers.ts';
import { migratePostgresQueues } from '../../workers/queues.ts';
import { startDaemon } from '../../workers/start.ts';
import { sweepAbandonedFolders } from '../local-servers/owned-folder.ts';
import { type LocalPostgres, startPostgres } from '../local-servers/postgres.ts';
import { createScreen, headline, showEveryMs } from './screen.ts';
import { type DemoVendor, startDemoVendor } from './vendor.ts';

interface DemoOptions {
  readonly for?: number;
  readonly data?: string;
  readonly accounts?: string;
}

const simulatedApp = { appId: 1_400_000_000, secretKey: 'the-key-of-a-simulated-app' };
/** Of `--for`, the time in which nothing changes any more, so that the mirror can be seen to be right. */
const calmMs = 6000;
const longestCalmMs = 60_000;

/** `npm run demo`: a PostgreSQL of its own, the simulator or the user's own app, and the daemon, until it is asked to end. */
export async function runDemo(options: DemoOptions): Promise<void> {
  const own = Boolean(process.env['TIM_SDK_APP_ID'] ?? process.env['TIM_APPS_FILE']);
  if (own && options.accounts === undefined) {
    throw new CommandError('TIM_SDK_APP_ID is set: name a list of its accounts with --accounts <file>.', 2);
  }
  if (!own && options.accounts !== undefined) {
    throw new CommandError('--accounts needs your own app: set TIM_SDK_APP_ID and TIM_SECRET_KEY.', 2);
  }
  const end = endOfDemo(options.for);
  await sweepAbandonedFolders();
  process.stdout.write('Starting PostgreSQL …\n');
  const postgres = await startPostgres({
    durable: options.data !== undefined,
    ...(options.data === undefined ? {} : { folder: options.data }),
  });
  const vendor = own ? undefined : await startDemoVendor(simulatedApp);
  try {
    await mirror({ options, postgres, vendor, ...end });
  } finally {
    await vendor?.close();
    await postgres.stop();
  }
}

interface Stage extends EndOfDemo {
  readonly options: DemoOptions;
  readonly postgres: LocalPostgres;
  readonly vendor: DemoVendor | undefined;
}

async function mirror({ options, postgres, vendor, count, ended, hurried }: Stage): Promise<void> {
  const { config } = readEnvironment(['app', 'credentials', 'database'], demoEnvironment(postgres, vendor));
  const app = chooseApp(config, undefined);
  const scrubber = createScrubber(secretsOf(config));
  const logFile = join(postgres.folder, 'tim-mirror.log');
  const log = createLogger({
    level: config.logLevel,
    scrubber,
    destination: pino.destination({ dest: logFile, sync: true }),
  });
  const db = connect({
    url: postgres.url(),
    applicationName: 'tim-mirror demo',
    maxConnections: 4,
    onIdleError: () => undefined,
  });
  try {
    await migrate(db);
    await migratePostgresQueues(postgres.url());
    if (vendor !== undefined) await enrolIds(db, app, vendor.ids);
    else await enrolList(db, app, options.accounts ?? '-');
    const daemon = await startDaemon({
      config,
      roles: ['all'],
      log,
      scrubber,
      // People do not watch a demo for a minute to see a group go.
      ...(vendor === undefined ? {} : { confirmRemovalAfterMs: 2000 }),
    });
    hurried.addEventListener('abort', () => daemon.abort());
    if (hurried.aborted) daemon.abort();
    count();
    process.stdout.write(whereToLook(config, postgres, logFile, vendor, daemon.http.url));
    try {
      await watch(db, app.appId, ended, vendor);
      await summarise(db, app.appId, vendor, options.for !== undefined);
    } finally {
      await daemon.stop();
    }
    if (options.data !== undefined) process.stdout.write(`The database stays in ${postgres.folder}\n`);
  } finally {
    await db.destroy();
  }
}

interface EndOfDemo {
  /** Begins to count the time given: starting servers may take longer than that. */
  count(): void;
  readonly ended: AbortSignal;
  /** Does not wait for calls under way; what was started is still cleared away. */
  readonly hurried: AbortSignal;
}

/**
 * The end comes at Ctrl-C, at SIGTERM, and when the time given is nearly over; a second signal makes it quick, and a third one
 * ends the process, whose folder the next demo then clears away.
 */
function endOfDemo(forMs: number | undefined): EndOfDemo {
  const end = new AbortController();
  const abort = new AbortController();
  const leave = onSignals((times) => {
    if (times === 1) return end.abort();
    abort.abort();
    leave();
  });
  return {
    count() {
      if (forMs !== undefined) setTimeout(() => end.abort(), Math.max(forMs - calmMs, forMs / 2)).unref();
    },
    ended: end.signal,
    hurried: abort.signal,
  };
}

function demoEnvironment(postgres: LocalPostgres, vendor: DemoVendor | undefined): NodeJS.ProcessEnv {
  const common = {
    DATABASE_URL: postgres.url(),
    DATABASE_URL_FILE: '',
    REDIS_URL: '',
    REDIS_URL_FILE: '',
    HTTP_PORT: '0',
  };
  if (vendor === undefined) return common;
  return {
    ...common,
    TIM_SDK_APP_ID: String(simulatedApp.appId),
    TIM_SECRET_KEY: simulatedApp.secretKey,
    TIM_SECRET_KEY_FILE: '',
    TIM_ENDPOINT: vendor.simulator.origin,
    ACCOUNTS_SOURCE_URL: '',
    ACCOUNTS_SOURCE_URL_FILE: '',
    ACCOUNTS_QUERY: '',
    // So that something is to be seen every second.
    POLL_MIN_INTERVAL: '1s',
    POLL_MAX_INTERVAL: '5s',
  };
}

function whereToLook(
  config: Config,
  postgres: LocalPostgres,
  logFile: string,
  vendor: DemoVendor | undefined,
  page: string,
): string {
  const against =
    vendor === undefined ? config.apps.map((app) => app.origin).join(', ') : 'a simulated vendor';
  return `
The daemon mirrors ${against} into PostgreSQL. Where to look: ${page} in a browser, or from another terminal:

  export DATABASE_URL='${postgres.url()}'
  psql $DATABASE_URL -c 'select * from tim.friend_group_members limit 20'
  npm run -s tim-mirror -- status

Tables: tim.accounts, tim.friend_groups, tim.friend_group_members, tim.changes, tim.freshness
Log:    ${logFile}
Ctrl-C ends the demo.

`;
}

async function watch(
  db: Database,
  appId: number,
  ended: AbortSignal,
  vendor: DemoVendor | undefined,
): Promise<void> {
  const screen = createScreen();
  const started = performance.now();
  let before = { calls: 0, at: started };
  while (!ended.aborted) {
    await sleep(showEveryMs, undefined, { signal: ended }).catch(() => undefined);
    if (ended.aborted) return;
    const [status, totals, newest] = await Promise.all([
      readStatus(db),
      readMirrorTotals(db, appId),
      readNewestChanges(db, appId, 4),
    ]);
    const app = status.apps.find((candidate) => candidate.appId === appId);
    if (app === undefined) continue;
    const now = performance.now();
    const calls = vendor?.simulator.stats().calls;
    const callsPerSecond =
      calls === undefined
        ? Math.round(app.calls.perSecond)
        : Math.round(((calls - before.calls) / (now - before.at)) * 1000);
    before = { calls: calls ?? 0, at: now };
    screen.show({ seconds: (now - started) / 1000, app, totals, callsPerSecond, newest });
  }
}

/** Says what was mirrored, and of a simulated vendor whether the mirror holds what it holds once its people rest. */
async function summarise(
  db: Database,
  appId: number,
  vendor: DemoVendor | undefined,
  patient: boolean,
): Promise<void> {
  const compared = vendor === undefined ? [] : await compareAtRest(db, appId, vendor, patient);
  const [totals, status] = await Promise.all([readMirrorTotals(db, appId), readStatus(db)]);
  const app = status.apps.find((candidate) => candidate.appId === appId);
  const { total = 0, neverPolled = 0 } = app?.accounts ?? {};
  const lines = [
    `${count(total - neverPolled)} of ${count(total)} accounts read`,
    `${count(totals.groups)} groups and ${count(totals.members)} members mirrored, ${count(totals.changes)} changes written to the feed`,
    ...(app?.halt == null ? [] : [headline(app)]),
    ...compared,
  ];
  process.stdout.write(`\nSummary\n${lines.map((line) => `  ${line}\n`).join('')}`);
}

async function compareAtRest(
  db: Database,
  appId: number,
  vendor: DemoVendor,
  patient: boolean,
): Promise<readonly string[]> {
  vendor.calmDown();
  const deadline = performance.now() + (patient ? longestCalmMs : 0);
  let different = await countDifferences(db, appId, vendor);
  while (different > 0 && performance.now() < deadline) {
    await sleep(200);
    different = await countDifferences(db, appId, vendor);
  }
  const { calls, worstSecond } = vendor.simulator.stats();
  return [
    `${count(calls)} calls, at most ${worstSecond} in any second of the 200 that the vendor allows`,
    different === 0
      ? 'The mirror holds exactly what the vendor holds, row for row.'
      : `${count(different)} rows were still under way.`,
  ];
}

async function countDifferences(db: Database, appId: number, vendor: DemoVendor): Promise<number> {
  const { missing, invented } = compareWithTruth(
    vendor.simulator.truth.rows(),
    await readMirrorRows(db, appId),
  );
  return missing.length + invented.length;
}
