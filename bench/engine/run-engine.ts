import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { defaultCallsPerSecond } from '../../src/config/values.ts';
import {
  type BenchServers,
  benchApp,
  createMirror,
  startBenchDaemon,
  startBenchVendor,
  withBenchServers,
} from '../support/bench-servers.ts';
import type { HelperProcess, Usage } from '../support/helper-process.ts';
import { type SeedAccount, seedMirror } from '../support/seed-mirror.ts';
import { median } from '../support/statistics.ts';
import { between, createMeters, type Meters, type Reading } from './meters.ts';
import type { PeerOrder } from './peer.ts';

/** How long and how much. */
export interface EngineScale {
  readonly accounts: number;
  readonly rounds: number;
  /** Until what a contender has begun runs evenly. */
  readonly settleMs: number;
  /** Of each other way in each round. */
  readonly windowMs: number;
  /** Of ours, which claims once a second, and so needs whole seconds. */
  readonly ownWindowMs: number;
  /** Of the daemon alone, where its costs are measured. */
  readonly costMs: number;
}

const peerNames = ['bare', 'baseline', 'jobPerAccount'] as const;
/** The other ways: the floor, p-queue with upserts, one BullMQ job an account. */
type PeerName = (typeof peerNames)[number];

/** Medians over the rounds. */
export interface Contender {
  readonly pollsPerSecond: number;
  readonly cpuMsPerPoll: number;
}

export interface EngineFigures {
  readonly ours: Contender;
  readonly peers: Readonly<Record<PeerName, Contender>>;
  /** Of a pair measured one after the other, the median over the rounds. */
  readonly ratioToBare: number;
  readonly ratioToBaseline: number;
  /** The limit lifted and nothing changing; with a quarter of the polls changing; at 190 calls a second and nothing changing. */
  readonly unchanged: Reading;
  readonly quarterChanged: Reading;
  readonly atLimit: Reading;
  readonly usage: Usage;
}

/** Of the polls, while contenders are compared. */
const changedShare = 0.01;
const changedMuch = 0.25;
/** As many as make the bare loop fastest, on two cores. */
const callsUnderWay = 32;
/**
 * More than can be reached: every account is due again within 1.7 seconds. A tick each second claims it at the next or
 * the one after, so 20,000 accounts yield 9,000 polls a second at most.
 */
const liftedCallsPerSecond = 24_000;
const limit = defaultCallsPerSecond;
/** Of a daemon that has just been started. */
const startMs = 3000;
const polling = { POLL_MIN_INTERVAL: '100ms', POLL_MAX_INTERVAL: '1s' };
const modules: Readonly<Record<PeerName, string>> = {
  bare: 'bare-loop.ts',
  baseline: 'simple-baseline.ts',
  jobPerAccount: 'job-per-account.ts',
};

/** Measures the daemon beside others. `onStep` is called with what is under way and how far it is, from 0 to 1. */
export async function runEngine(
  scale: EngineScale,
  onStep: (share: number, what: string) => void,
): Promise<EngineFigures> {
  onStep(0, 'starting servers');
  return withBenchServers(async (servers) => {
    const vendor = await startBenchVendor(servers, benchApp, { accounts: scale.accounts });
    const accounts = await vendor.accounts();
    onStep(0.05, 'filling databases');
    const { url, db } = await createMirror(servers, 'ours', [{ app: benchApp, ids: vendor.ids }]);
    await seedMirror(db, benchApp.appId, accounts);
    const peers = await startPeers(servers, accounts);
    const start = (callsPerSecond: number, lifted: boolean) =>
      startBenchDaemon(servers, {
        databaseUrl: url,
        apps: [{ ...benchApp, origin: vendor.origin, callsPerSecond }],
        ...(lifted ? { callsUnderWay } : {}),
        environment: polling,
      });
    onStep(0.1, 'at the limit');
    const limited = await start(limit, false);
    const limitedMeters = createMeters(servers, db, vendor, limited);
    await sleep(startMs);
    const atLimit = await measure(limitedMeters, scale.costMs);
    limitedMeters.close();
    await limited.end();

    const daemon = await start(liftedCallsPerSecond, true);
    const meters = createMeters(servers, db, vendor, daemon);
    const cost = (ms: number) => measureDaemon(daemon, meters, scale.settleMs, ms);

    onStep(0.2, 'nothing changes');
    // Its code is compiled while it runs.
    await cost(scale.costMs);
    const unchanged = await cost(scale.costMs);

    await vendor.process.send('change', changedShare);
    const ours: Reading[] = [];
    const rounds: Record<PeerName, Window[]> = { bare: [], baseline: [], jobPerAccount: [] };
    for (let round = 0; round < scale.rounds; round += 1) {
      onStep(0.3 + (0.5 * round) / scale.rounds, `round ${round + 1} of ${scale.rounds}`);
      for (const name of peerNames) {
        rounds[name].push(await measurePeer(peers[name], scale));
        if (name === 'bare') ours.push(await cost(scale.ownWindowMs));
      }
    }

    onStep(0.8, 'a quarter changes');
    await vendor.process.send('change', changedMuch);
    const quarterChanged = await cost(scale.costMs);
    const usage = await daemon.usage();
    meters.close();
    await daemon.end();

    return summarise({ ours, rounds, unchanged, quarterChanged, atLimit, usage });
  });
}

interface Window {
  readonly polls: number;
  readonly ms: number;
  readonly cpuMs: number;
}

/** Each has a vendor of its own, of the same accounts: changes that others bring about are none of its business. */
async function startPeers(
  servers: BenchServers,
  accounts: readonly SeedAccount[],
): Promise<Record<PeerName, HelperProcess>> {
  const start = async (name: PeerName) => {
    const vendor = await startBenchVendor(servers, benchApp, { accounts: accounts.length });
    await vendor.process.send('change', changedShare);
    const helper = servers.helper(new URL(modules[name], import.meta.url));
    const order: PeerOrder = {
      vendor: { ...benchApp, origin: vendor.origin },
      accounts: [...accounts],
      databaseUrl: await servers.createDatabase(name.toLowerCase()),
      redisUrl: servers.redis.url,
      callsUnderWay,
    };
    await helper.send('begin', order);
    return helper;
  };
  return {
    bare: await start('bare'),
    baseline: await start('baseline'),
    jobPerAccount: await start('jobPerAccount'),
  };
}

const worked = z.object({ polls: z.number(), ms: z.number() });

async function measurePeer(
  peer: HelperProcess,
  { settleMs, windowMs }: Pick<EngineScale, 'settleMs' | 'windowMs'>,
): Promise<Window> {
  await peer.ask(worked, 'work', settleMs);
  const before = await peer.usage();
  const { polls, ms } = await peer.ask(worked, 'work', windowMs);
  return { polls, ms, cpuMs: (await peer.usage()).cpuMs - before.cpuMs };
}

async function measureDaemon(
  daemon: HelperProcess,
  meters: Meters,
  settleMs: number,
  ms: number,
): Promise<Reading> {
  await daemon.send('resume');
  await sleep(settleMs);
  const reading = await measure(meters, ms);
  await daemon.send('pause');
  return reading;
}

async function measure(meters: Meters, ms: number): Promise<Reading> {
  const first = await meters.read();
  await sleep(ms);
  return between(first, await meters.read());
}

function summarise(seen: {
  readonly ours: readonly Reading[];
  readonly rounds: Readonly<Record<PeerName, readonly Window[]>>;
  readonly unchanged: Reading;
  readonly quarterChanged: Reading;
  readonly atLimit: Reading;
  readonly usage: Usage;
}): EngineFigures {
  const { ours, rounds, unchanged, quarterChanged, atLimit, usage } = seen;
  const perSecond = (reading: { polls: number; ms: number } | undefined) =>
    reading === undefined ? Number.NaN : (reading.polls / reading.ms) * 1000;
  const contender = (readings: readonly Window[]): Contender => ({
    pollsPerSecond: median(readings.map(perSecond)),
    cpuMsPerPoll: median(readings.map(({ polls, cpuMs }) => cpuMs / polls)),
  });
  const ratioTo = (name: PeerName) =>
    median(ours.map((reading, round) => perSecond(reading) / perSecond(rounds[name][round])));
  return {
    ours: contender(ours.map(({ polls, ms, daemonCpuMs }) => ({ polls, ms, cpuMs: daemonCpuMs }))),
    peers: {
      bare: contender(rounds.bare),
      baseline: contender(rounds.baseline),
      jobPerAccount: contender(rounds.jobPerAccount),
    },
    ratioToBare: ratioTo('bare'),
    ratioToBaseline: ratioTo('baseline'),
    unchanged,
    quarterChanged,
    atLimit,
    usage,
  };
}
