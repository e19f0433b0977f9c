import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { defaultCallsPerSecond } from '../../src/config/values.ts';
import {
  benchApp,
  createSeededMirror,
  startBenchDaemon,
  withBenchServers,
} from '../support/bench-servers.ts';
import { type Delays, delays } from '../support/delays.ts';
import type { HelperProcess } from '../support/helper-process.ts';
import { postgresCpuMs } from '../support/process-time.ts';
import { sumOf } from '../support/sum-of.ts';

/** How much and how long. */
export interface StackScale {
  readonly accounts: number;
  readonly warmUpMs: number;
  readonly ms: number;
}

/** One of the daemons. */
export interface DaemonFigures extends Delays {
  readonly callsPerSecond: number;
  /** Slots a second that came too late to be used. */
  readonly missedPerSecond: number;
  /** Of the slots, those that this process came to later than each number of milliseconds. */
  readonly laterThan: Readonly<Record<string, number>>;
}

export interface StackFigures {
  readonly callsPerSecond: number;
  readonly shareOfRate: number;
  /** The most that arrived in any sliding second. */
  readonly worstSecond: number;
  readonly daemons: readonly DaemonFigures[];
  /** Processors kept busy. */
  readonly busy: {
    readonly daemons: number;
    readonly postgres: number;
    readonly vendor: number;
  };
}

/** All processes of the app together. */
export const rate = defaultCallsPerSecond;
const processes = 3;
const latency = { least: 20, most: 150 };
const changedShare = 0.01;

const stats = z.object({ calls: z.number(), worstSecond: z.number() });
const address = z.string();

/** Has three daemons poll accounts that have all been read before, and counts what arrives at the vendor. */
export async function runStack(
  scale: StackScale,
  onStep: (share: number, what: string) => void,
): Promise<StackFigures> {
  onStep(0, 'starting servers');
  return withBenchServers(async (servers) => {
    const { accounts } = scale;
    const { vendor, url } = await createSeededMirror(servers, 'stack', {
      accounts,
      callsPerSecond: 200,
      latency,
    });
    await vendor.process.send('change', changedShare);
    onStep(0.1, 'starting three daemons');
    const daemons = await Promise.all(
      Array.from({ length: processes }, () =>
        startBenchDaemon(servers, {
          databaseUrl: url,
          apps: [{ ...benchApp, origin: vendor.origin, callsPerSecond: rate }],
          environment: {},
        }),
      ),
    );
    for (const daemon of daemons) await daemon.send('watchDelays');
    await sleep(scale.warmUpMs);

    const read = async () => ({
      at: performance.now(),
      vendor: await vendor.process.ask(stats, 'stats'),
      vendorCpuMs: (await vendor.process.usage()).cpuMs,
      daemonCpuMs: await sum(daemons, async (daemon) => (await daemon.usage()).cpuMs),
      postgresCpuMs: postgresCpuMs(servers.postgres.folder) ?? Number.NaN,
      each: await Promise.all(daemons.map(readDaemon)),
    });
    const before = await read();
    const ends = before.at + scale.ms;
    while (performance.now() < ends) {
      onStep(0.2 + 0.8 * (1 - (ends - performance.now()) / scale.ms), 'polling');
      await sleep(Math.min(1000, Math.max(1, ends - performance.now())));
    }
    const after = await read();
    const ms = after.at - before.at;
    const callsPerSecond = ((after.vendor.calls - before.vendor.calls) / ms) * 1000;
    return {
      callsPerSecond,
      shareOfRate: callsPerSecond / rate,
      worstSecond: after.vendor.worstSecond,
      daemons: after.each.map((now, index) => compare(before.each[index] ?? now, now, ms)),
      busy: {
        daemons: (after.daemonCpuMs - before.daemonCpuMs) / ms,
        postgres: (after.postgresCpuMs - before.postgresCpuMs) / ms,
        vendor: (after.vendorCpuMs - before.vendorCpuMs) / ms,
      },
    };
  });
}

interface DaemonReading {
  readonly delays: Delays;
  readonly calls: number;
  readonly missed: number;
  /** Slots by the upper bound of their lateness, in seconds; cumulative. */
  readonly lateness: ReadonlyMap<string, number>;
}

async function readDaemon(daemon: HelperProcess): Promise<DaemonReading> {
  const response = await fetch(`${await daemon.ask(address, 'address')}/metrics`);
  const metrics = await response.text();
  const lateness = [
    ...metrics.matchAll(/^tim_mirror_slot_lateness_seconds_bucket\{le="([^"]+)".*\} (\d+)$/gm),
  ];
  return {
    delays: await daemon.ask(delays, 'delays'),
    calls: sumOf(metrics, 'tim_mirror_calls_total'),
    missed: sumOf(metrics, 'tim_mirror_missed_slots_total'),
    lateness: new Map(lateness.map(([, bound = '', slots]) => [bound, Number(slots)])),
  };
}

function compare(before: DaemonReading, after: DaemonReading, ms: number): DaemonFigures {
  const since = (bound: string) => (after.lateness.get(bound) ?? 0) - (before.lateness.get(bound) ?? 0);
  const all = since('+Inf');
  const bounds = [...after.lateness.keys()].filter((bound) => bound !== '+Inf');
  return {
    callsPerSecond: ((after.calls - before.calls) / ms) * 1000,
    missedPerSecond: ((after.missed - before.missed) / ms) * 1000,
    laterThan: Object.fromEntries(
      bounds.map((bound) => [`${Number(bound) * 1000}`, (all - since(bound)) / Math.max(all, 1)]),
    ),
    ...after.delays,
  };
}

async function sum<T>(of: readonly T[], read: (each: T) => Promise<number>): Promise<number> {
  return (await Promise.all(of.map(read))).reduce((all, each) => all + each, 0);
}
