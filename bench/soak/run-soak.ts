import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { defaultCallsPerSecond } from '../../src/config/values.ts';
import {
  benchApp,
  createSeededMirror,
  startBenchDaemon,
  withBenchServers,
} from '../support/bench-servers.ts';
import { slopeOf } from '../support/slope.ts';
import { type Sample, takeSample } from './sample.ts';

interface SoakScale {
  readonly accounts: number;
  readonly minutes: number;
}

/** A figure over the whole time. */
interface Slope {
  readonly first: number;
  readonly last: number;
  /** By least squares over what follows the first quarter, in which caches fill. */
  readonly perHour: number;
}

export const watched = [
  'rssMb',
  'heapMb',
  'connections',
  'stateTableMb',
  'stateIndexMb',
  'redisMb',
  'historyMb',
] as const;
/** The figures that are watched; of these only the history may grow. */
export type Watched = (typeof watched)[number];

export interface SoakResult {
  readonly minutes: number;
  readonly callsPerSecond: number;
  readonly worstSecond: number;
  readonly slopes: Readonly<Record<Watched, Slope>>;
}

export const limit = defaultCallsPerSecond;
const changedShare = 0.01;
const latency = { least: 20, most: 60 };
/** Of an account, of which there are this many that the line stays long. */
const changesPerDay = 50;
const everyMs = 15_000;
const warmUpMs = 10_000;

/** Has the daemon poll at the limit for this long, and looks again and again what it takes. */
export async function runSoak(
  scale: SoakScale,
  onStep: (share: number, what: string) => void,
): Promise<SoakResult> {
  onStep(0, 'starting servers');
  return withBenchServers(async (servers) => {
    const redis = new Redis(servers.redis.url);
    try {
      const vendorOptions = { accounts: scale.accounts, callsPerSecond: 200, latency };
      const { vendor, url, db } = await createSeededMirror(servers, 'soak', vendorOptions, changesPerDay);
      await vendor.process.send('change', changedShare);
      const daemon = await startBenchDaemon(
        servers,
        {
          databaseUrl: url,
          apps: [{ ...benchApp, origin: vendor.origin, callsPerSecond: limit }],
          environment: { POLL_MIN_INTERVAL: '1s' },
        },
        ['--expose-gc'],
      );
      await sleep(warmUpMs);
      const startedAt = performance.now();
      const samples: Sample[] = [];
      const ends = startedAt + scale.minutes * 60_000;
      for (;;) {
        const sample = await takeSample({ daemon, vendor, db, redis }, startedAt);
        samples.push(sample);
        const share = (performance.now() - startedAt) / (ends - startedAt);
        onStep(Math.min(share, 1), `${sample.calls} calls, ${sample.rssMb.toFixed(0)} MB`);
        if (performance.now() >= ends) break;
        await sleep(Math.min(everyMs, Math.max(ends - performance.now(), 1)));
      }
      await daemon.send('stop');
      return summarise(scale, samples);
    } finally {
      redis.disconnect();
    }
  });
}

/** Reads slopes off samples. */
export function summarise({ minutes }: SoakScale, samples: readonly Sample[]): SoakResult {
  const [first, last] = [samples[0], samples.at(-1)];
  if (first === undefined || last === undefined) throw new Error('there are no samples');
  const settled = samples.filter(({ hours }) => hours >= last.hours / 4);
  const slope = (name: Watched): Slope => ({
    first: first[name],
    last: last[name],
    perHour: slopeOf(settled.map((sample) => ({ x: sample.hours, y: sample[name] }))),
  });
  return {
    minutes,
    callsPerSecond: (last.calls - first.calls) / ((last.hours - first.hours) * 3600),
    worstSecond: last.worstSecond,
    slopes: {
      rssMb: slope('rssMb'),
      heapMb: slope('heapMb'),
      connections: slope('connections'),
      stateTableMb: slope('stateTableMb'),
      stateIndexMb: slope('stateIndexMb'),
      redisMb: slope('redisMb'),
      historyMb: slope('historyMb'),
    },
  };
}
