import { createWriteStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { sql } from 'kysely';
import { connect, type Database } from '../../db/client.ts';
import { migrate } from '../../db/migrate.ts';
import { enrolAccounts } from '../../db/queries/accounts.ts';
import { ensureApp } from '../../db/queries/apps.ts';
import { readMirrorRows } from '../../db/queries/mirror.ts';
import { type LocalPostgres, startPostgres } from '../../dev/local-servers/postgres.ts';
import { type LocalRedis, startRedis } from '../../dev/local-servers/redis.ts';
import { compareWithTruth } from '../../src/simulator/compare.ts';
import type { Fault } from '../../src/simulator/faults.ts';
import { populate, randomChange } from '../../src/simulator/population.ts';
import { createRandom, type Random } from '../../src/simulator/random.ts';
import { type Simulator, startSimulator } from '../../src/simulator/server.ts';
import { bypassRemovalBreaker } from '../support/bypass-removal-breaker.ts';
import { type Command, daemonEnvironment, runCommand } from '../support/daemon.ts';
import { currentRows, replayFeed, rowsAt } from '../support/replay.ts';
import { waitFor } from '../support/wait-for.ts';
import { createMembershipLog, type MembershipLog } from './membership-log.ts';

export interface ChaosOptions {
  readonly minutes: number;
  readonly seed: number;
  /**
   * What the daemons may send. Three of them, two servers and the vendor, who counts arrivals, share this machine, and
   * a call that its scheduler delays by 100 ms is none that the daemons sent too many; so below 190.
   */
  readonly callsPerSecond: number;
  /** How soon after the last disturbance mirror and truth are to be the same; 60 on a machine that does nothing else. */
  readonly agreeWithinSeconds: number;
  readonly say: (line: string) => void;
  /** Called every second with how far the disturbances are, and which is under way. */
  readonly onProgress?: (seconds: number, note: string) => void;
  /** A folder for what each daemon says. */
  readonly logs: string | undefined;
}

/** What happened, and every promise that was broken. */
export interface ChaosReport {
  readonly seed: number;
  readonly minutes: number;
  readonly accounts: number;
  readonly changes: number;
  readonly calls: number;
  /** The most calls that arrived in any sliding second. */
  readonly worstSecond: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly disturbances: Readonly<Record<string, number>>;
  readonly removalsChecked: number;
  /** From the end of all disturbances until mirror and truth were the same. */
  readonly secondsToAgree: number | null;
  readonly longestSilenceSeconds: number;
  readonly memoryMb: readonly { readonly first: number; readonly last: number }[];
  readonly postgresConnections: number;
  readonly redisConnections: number;
  readonly breaches: readonly string[];
}

const app = { appId: 1_400_000_000, secretKey: 'the-secret-key-of-the-chaos' };
const accounts = 1000;
const daemons = 3;
const changesPerSecond = 15;
const silenceWithinSeconds = 60;
/** The longest that a call can be under way: connecting and answering time out after 13 s. */
const longestCallMs = 15_000;

/** All that goes wrong with answers all along: 14 % of calls. */
const steadyFaults: readonly Fault[] = [
  { kind: 'http_502', probability: 0.015 },
  { kind: 'reset', probability: 0.015 },
  { kind: 'hang', probability: 0.005 },
  { kind: 30006, probability: 0.02 },
  { kind: 30007, probability: 0.015 },
  { kind: 60008, probability: 0.015 },
  { kind: 60007, probability: 0.001 },
  { kind: 'truncated', probability: 0.015 },
  { kind: 'html', probability: 0.01 },
  { kind: 'wrong_type', probability: 0.01 },
  { kind: 'null_fields', probability: 0.01 },
  { kind: 'empty_once', probability: 0.01 },
  { kind: 'short_once', probability: 0.01 },
];
const stormOfLimits: readonly Fault[] = [{ kind: 60007, probability: 0.2 }];
const stormOfHangs: readonly Fault[] = [
  { kind: 'hang', probability: 0.1 },
  { kind: 'reset', probability: 0.1 },
];

const program = fileURLToPath(new URL('../support/daemon-process.ts', import.meta.url));

/** The stage of a run: servers of its own, the vendor, and three daemons. */
interface Stage {
  readonly postgres: LocalPostgres;
  readonly redis: LocalRedis;
  readonly db: Database;
  readonly vendor: Simulator;
  readonly log: MembershipLog;
  readonly ids: readonly string[];
  readonly random: Random;
  readonly running: Command[];
  readonly start: (place: number) => Command;
}

type Disturbance = (stage: Stage) => Promise<void>;

/** Everything that is done to the daemons and their servers. Each leaves all of them running. */
const disturbances: Readonly<Record<string, Disturbance>> = {
  async killDaemon({ running, start, random }) {
    // The last daemon lives through it all, so that what it gathers can be seen.
    const place = random.below(daemons - 1);
    running[place]?.child.kill('SIGKILL');
    await replace(running, place, start);
  },
  async stopDaemon({ running, start, random }) {
    const place = random.below(daemons - 1);
    running[place]?.child.kill('SIGTERM');
    const ended = await running[place]?.ended;
    if (ended?.code !== 0) throw new Error(`a daemon reported to stop ended with ${ended?.code}`);
    await replace(running, place, start);
  },
  async crashRedis({ redis, random }) {
    await redis.crash();
    await sleep(500 + random.below(3000));
    await redis.revive();
  },
  async emptyRedis({ redis }) {
    await onRedis(redis, (client) => client.flushall());
  },
  async cutRedis({ redis }) {
    await onRedis(redis, (client) => client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'));
  },
  async crashPostgres({ postgres, random }) {
    await postgres.crash();
    await sleep(500 + random.below(2000));
    await postgres.revive();
  },
  async cutPostgres({ db }) {
    await sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where application_name like 'tim-mirror%' and pid <> pg_backend_pid()
    `.execute(db);
  },
  async stormOfLimits({ vendor }) {
    vendor.setFaults(stormOfLimits);
    await sleep(2000);
    vendor.setFaults(steadyFaults);
  },
  async stormOfHangs({ vendor }) {
    vendor.setFaults(stormOfHangs);
    await sleep(2000);
    vendor.setFaults(steadyFaults);
  },
  async sequenceGoesBack({ vendor, ids, random }) {
    for (let times = 0; times < 20; times += 1)
      vendor.truth.setSequence(random.pick(ids), anySequence(random));
  },
  async accountsGoAndComeBack({ vendor, log, ids, random }) {
    const gone = Array.from({ length: 5 }, () => random.pick(ids));
    for (const id of gone) log.removeAccount(id);
    await sleep(3000);
    for (const id of gone) {
      log.addAccount(id);
      vendor.truth.setSequence(id, anySequence(random));
    }
  },
};

async function replace(running: Command[], place: number, start: Stage['start']): Promise<void> {
  await running[place]?.ended;
  const daemon = start(place);
  running[place] = daemon;
  // Disturbed while it starts it would end with a sentence, and Kubernetes would start the next.
  await untilItRuns(daemon);
}

async function untilItRuns(daemon: Command): Promise<void> {
  await waitFor('a daemon to run', () => daemon.said().includes('tim-mirror runs'));
}

/**
 * Where a sequence begins, or begins again: anywhere. Beginning with 0 each time, accounts that come back would soon
 * be at the very number that the mirror has seen with other content, which only a full read can show.
 */
function anySequence(random: Random): number {
  return random.below(1_000_000_000);
}

/** Runs the daemons through `minutes` of everything that can go wrong, and checks every promise. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { seed, callsPerSecond, say, logs } = options;
  const random = createRandom(seed);
  const postgres = await startPostgres({ durable: true });
  const redis = await startRedis({ say });
  const vendor = await startSimulator({ ...app, latency: { least: 5, most: 60 } }, random);
  const running: Command[] = [];
  const db = connect({
    url: postgres.url(),
    applicationName: 'chaos',
    maxConnections: 2,
    onIdleError: () => undefined,
  });
  try {
    await migrate(db);
    await ensureApp(db, { ...app, callsPerSecond });
    const ids = populate(vendor.truth, accounts, random);
    for (const id of ids) vendor.truth.setSequence(id, anySequence(random));
    await enrolAccounts(db, app.appId, ids);
    let started = 0;
    const start = (place: number) => {
      const daemon = runCommand(
        [],
        daemonEnvironment({
          vendor,
          databaseUrl: postgres.url(),
          redisUrl: redis.url,
          env: {
            TIM_SECRET_KEY: app.secretKey,
            TIM_CALLS_PER_SECOND: String(callsPerSecond),
            LOG_LEVEL: logs === undefined ? 'info' : 'debug',
            CONFIRM_MS: '5000',
            // One of them believes that it is ten minutes later.
            CLOCK_OFFSET_MS: place === 1 ? '600000' : '0',
          },
        }),
        { program },
      );
      if (logs !== undefined) {
        started += 1;
        const file = createWriteStream(join(logs, `daemon-${place}-${started}.log`));
        daemon.child.stdout?.pipe(file);
      }
      return daemon;
    };
    await bypassRemovalBreaker(db);
    for (let place = 0; place < daemons; place += 1) running.push(start(place));
    await Promise.all(running.map(untilItRuns));
    const log = createMembershipLog(vendor.truth);
    return await disturb({ postgres, redis, db, vendor, log, ids, random, running, start }, options);
  } finally {
    for (const daemon of running) daemon.child.kill('SIGKILL');
    await Promise.all(running.map((daemon) => daemon.ended));
    await db.destroy();
    await vendor.close();
    await redis.stop();
    await postgres.stop();
  }
}

async function disturb(stage: Stage, options: ChaosOptions): Promise<ChaosReport> {
  const { vendor, ids, running } = stage;
  const breaches: string[] = [];
  const watch = watchCalls(vendor);
  const memory = watchMemory(running);
  vendor.setFaults(steadyFaults);
  const { changes, counted } = await runDisturbances(stage, options, breaches);
  for (const daemon of running) {
    if (daemon.child.exitCode !== null)
      breaches.push(`a daemon ended by itself: ${daemon.said().slice(-500)}`);
  }
  vendor.setFaults([]);
  options.say('all is quiet; waiting for mirror and truth to agree');
  const found = await checkPromises(stage, options, breaches);
  const longestSilence = watch.stop();
  if (longestSilence > silenceWithinSeconds)
    breaches.push(`nothing was polled for ${longestSilence.toFixed(1)} s`);
  const memoryMb = memory.stop();
  for (const { first, last } of memoryMb) {
    if (last > first * 1.5 + 50) breaches.push(`a daemon grew from ${first} to ${last} MB`);
  }
  await endDaemons(running, breaches);
  const { calls, worstSecond, answers } = vendor.stats();
  return {
    seed: options.seed,
    minutes: options.minutes,
    accounts: ids.length,
    changes,
    calls,
    worstSecond,
    faults: Object.fromEntries(Object.entries(answers).filter(([kind]) => kind !== '0')),
    disturbances: counted,
    longestSilenceSeconds: Math.round(longestSilence * 10) / 10,
    memoryMb,
    ...found,
    breaches,
  };
}

/** One disturbance after the other, while friends come and go. */
async function runDisturbances(
  stage: Stage,
  { minutes, onProgress = () => undefined }: ChaosOptions,
  breaches: string[],
): Promise<{ readonly changes: number; readonly counted: Record<string, number> }> {
  const { vendor, log, ids, random } = stage;
  const counted: Record<string, number> = {};
  let changes = 0;
  const churn = setInterval(() => {
    const id = random.pick(ids);
    if (log.change(id, randomChange(vendor.truth, id, ids, random, 1))) changes += 1;
  }, 1000 / changesPerSecond);
  const began = performance.now();
  const ends = began + minutes * 60_000;
  let doing = '';
  const ticking = setInterval(() => {
    const seconds = (performance.now() - began) / 1000;
    const { calls } = vendor.stats();
    onProgress(seconds, `${calls} calls, ${Math.round(calls / seconds)}/s, ${changes} changes, ${doing}`);
  }, 1000);
  let deck: string[] = [];
  while (performance.now() < ends) {
    // Each kind comes once before any comes again.
    if (deck.length === 0) deck = shuffled(Object.keys(disturbances), random);
    const name = deck.pop() ?? '';
    counted[name] = (counted[name] ?? 0) + 1;
    doing = name;
    await disturbances[name]?.(stage).catch((error: Error) => breaches.push(`${name}: ${error.message}`));
    await sleep(Math.min(500 + random.below(2500), Math.max(ends - performance.now(), 0)));
  }
  clearInterval(ticking);
  clearInterval(churn);
  return { changes, counted };
}

/** What the mirror promises, once all is quiet. */
async function checkPromises(
  stage: Stage,
  { agreeWithinSeconds }: ChaosOptions,
  breaches: string[],
): Promise<
  Pick<ChaosReport, 'secondsToAgree' | 'removalsChecked' | 'postgresConnections' | 'redisConnections'>
> {
  const secondsToAgree = await agree(stage, agreeWithinSeconds);
  if (secondsToAgree === null)
    breaches.push(`mirror and truth differ after ${agreeWithinSeconds} s: ${await differences(stage)}`);
  const worst = stage.vendor.stats().worstSecond;
  if (worst > 200) breaches.push(`${worst} calls arrived within a second`);
  const removalsChecked = await checkRemovals(stage, breaches);
  if (secondsToAgree !== null) await checkReplay(stage.db, breaches);
  return { secondsToAgree, removalsChecked, ...(await checkHoldings(stage, breaches)) };
}

async function endDaemons(running: Stage['running'], breaches: string[]): Promise<void> {
  for (const daemon of running) daemon.child.kill('SIGTERM');
  for (const { code } of await Promise.all(running.map((daemon) => daemon.ended))) {
    if (code !== 0) breaches.push(`a daemon ended with ${code}`);
  }
  for (const daemon of running) {
    if (/unhandled|uncaught/i.test(daemon.said())) breaches.push('a daemon met an unhandled error');
  }
}

/** Waits until mirror and truth agree; the seconds it took, or null when it took too long. */
async function agree(stage: Stage, agreeWithinSeconds: number): Promise<number | null> {
  const quiet = performance.now();
  let differing: readonly string[] = stage.ids;
  while (performance.now() - quiet < agreeWithinSeconds * 1000) {
    const open = await findDiffering(stage, differing);
    if (open.length === 0) {
      // Nothing that was right may have become wrong meanwhile.
      differing = await findDiffering(stage, stage.ids);
      if (differing.length === 0) return Math.round((performance.now() - quiet) / 100) / 10;
    } else differing = open;
    await sleep(500);
  }
  return null;
}

/** Looks at a few accounts at a time: comparing all at once would hold up the vendor, who counts arrivals here. */
async function findDiffering({ vendor, db }: Stage, ids: readonly string[]): Promise<readonly string[]> {
  const differing: string[] = [];
  for (let start = 0; start < ids.length; start += 20) {
    const some = ids.slice(start, start + 20);
    const mirror = await readMirrorRows(db, app.appId, some);
    const { missing, invented } = compareWithTruth(vendor.truth.rows(some), mirror);
    differing.push(...new Set([...missing, ...invented].map((row) => String(JSON.parse(row)[1]))));
  }
  return differing;
}

async function differences({ vendor, db }: Stage): Promise<string> {
  const { missing, invented } = compareWithTruth(vendor.truth.rows(), await readMirrorRows(db, app.appId));
  const example = missing[0] ?? invented[0];
  const id = example === undefined ? '' : String(JSON.parse(example)[1]);
  const { rows } = await sql`
    select status, sequence, fail_count, pending_at, leased_until, due_v, virtual_clock, halted_at, removals_held_at
    from mirror.poll_state join mirror.account using (account_key) join mirror.app on app.app_id = account.app_id
    where account_id = ${id}
  `.execute(db);
  return `${missing.length} rows missing, ${invented.length} invented, such as ${example} (${JSON.stringify(rows[0])})`;
}

/** No removal may be in the feed of something that was there all the time in which the read could have been answered. */
async function checkRemovals({ db, log }: Stage, breaches: string[]): Promise<number> {
  const { rows } = await sql<{ row: string[]; at: number }>`
    select array_remove(array[account_id, group_name, friend_id], null) as row,
      extract(epoch from observed_at)::float8 * 1000 as at
    from tim.changes where kind in ('group_removed', 'member_removed')
  `.execute(db);
  for (const { row, at } of rows) {
    if (log.wasThereAllAlong(row, at - 1, at + longestCallMs)) {
      breaches.push(
        `${JSON.stringify(row)} was removed at ${new Date(at).toISOString()} though it was there`,
      );
    }
  }
  return rows.length;
}

/** History and feed lead to what the tables hold. */
async function checkReplay(db: Database, breaches: string[]): Promise<void> {
  const rows = JSON.stringify(await currentRows(db));
  try {
    if (JSON.stringify(await replayFeed(db)) !== rows) breaches.push('the feed does not lead to the mirror');
  } catch (error) {
    breaches.push(error instanceof Error ? error.message : String(error));
  }
  if (JSON.stringify(await rowsAt(db, 'infinity')) !== rows)
    breaches.push('the history does not lead to the mirror');
}

/** Nothing is left behind: connections, leases, jobs. */
async function checkHoldings({ db, redis }: Stage, breaches: string[]) {
  const { rows } = await sql<{ connections: number; leases: number }>`
    select
      (select count(*) from pg_stat_activity where application_name like 'tim-mirror%') as connections,
      (select count(*) from mirror.poll_state where leased_until < clock_timestamp() - interval '1 minute') as leases
  `.execute(db);
  const postgresConnections = rows[0]?.connections ?? 0;
  if (postgresConnections > daemons * 15) breaches.push(`${postgresConnections} connections to Postgres`);
  if ((rows[0]?.leases ?? 0) > 0) breaches.push(`${rows[0]?.leases} leases that were not released`);
  const { redisConnections, jobs } = await onRedis(redis, async (client) => ({
    redisConnections:
      String(await client.call('CLIENT', 'LIST'))
        .trim()
        .split('\n').length - 1,
    jobs: (await client.keys(`{tim:${app.appId}}:*:poll-*:*`)).length,
  }));
  if (redisConnections > daemons * 12) breaches.push(`${redisConnections} connections to Redis`);
  // Those waiting and under way, and those kept for a look: 20 done and 100 failed.
  if (jobs > 300) breaches.push(`${jobs} keys of jobs in Redis`);
  return { postgresConnections, redisConnections };
}

async function onRedis<T>(redis: LocalRedis, use: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(redis.url);
  client.on('error', () => undefined);
  try {
    return await use(client);
  } finally {
    client.disconnect();
  }
}

/** Looks for the longest time without a call. */
function watchCalls(vendor: Simulator): { stop: () => number } {
  let longest = 0;
  let calls = vendor.stats().calls;
  let since = performance.now();
  const timer = setInterval(() => {
    const now = vendor.stats().calls;
    if (now !== calls) {
      calls = now;
      since = performance.now();
    }
    longest = Math.max(longest, (performance.now() - since) / 1000);
  }, 100);
  return {
    stop() {
      clearInterval(timer);
      return longest;
    },
  };
}

/** Resident memory of the daemon that lives all along: in the first third, and at the end. */
function watchMemory(running: readonly Command[]): { stop: () => { first: number; last: number }[] } {
  const sizes: number[] = [];
  const timer = setInterval(() => {
    const pid = running.at(-1)?.child.pid;
    try {
      const pages = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]);
      sizes.push(Math.round((pages * 4096) / 1e6));
    } catch {
      // It ended by itself, which is a breach of its own.
    }
  }, 2000);
  return {
    stop() {
      clearInterval(timer);
      const median = (part: number[]) => part.toSorted((a, b) => a - b)[Math.floor(part.length / 2)] ?? 0;
      const third = Math.ceil(sizes.length / 3);
      return sizes.length < 6
        ? []
        : [{ first: median(sizes.slice(0, third)), last: median(sizes.slice(-third)) }];
    },
  };
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const left = [...items];
  const order: T[] = [];
  while (left.length > 0) order.push(...left.splice(random.below(left.length), 1));
  return order;
}
