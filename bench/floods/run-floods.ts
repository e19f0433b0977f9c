import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { defaultCallsPerSecond } from '../../src/config/values.ts';
import {
  benchApp,
  createSeededMirror,
  startBenchDaemon,
  withBenchServers,
} from '../support/bench-servers.ts';
import { median } from '../support/statistics.ts';

/** How much and how long. */
export interface FloodsScale {
  readonly accounts: number;
  readonly rounds: number;
  readonly ms: number;
}

interface Flood {
  readonly name: string;
  readonly path: string;
  readonly loops: number;
  readonly bodyBytes: number;
}

const hook = '/hooks/tim?SdkAppid=1400000000&CallbackCommand=Sns.CallbackFriendAdd';
/** What an unauthenticated client may try. */
export const floods: readonly Flood[] = [
  { name: '5 loops of /metrics', path: '/metrics', loops: 5, bodyBytes: 0 },
  { name: '20 loops of /metrics', path: '/metrics', loops: 20, bodyBytes: 0 },
  { name: '150 loops of /readyz', path: '/readyz', loops: 150, bodyBytes: 0 },
  { name: '4 unsigned callbacks of 1 MB at a time', path: hook, loops: 4, bodyBytes: 2 ** 20 },
  { name: '300 loops of /status', path: '/status', loops: 300, bodyBytes: 0 },
];

/** One flood, in calls to the vendor a second. */
interface FloodFigures {
  readonly flood: string;
  /** The same flood goes to a trivial server in a process of its own. */
  readonly besideIt: number;
  /** It goes to the daemon. */
  readonly atDaemon: number;
  /** Answers a second that it got from the daemon. */
  readonly answersPerSecond: number;
  /** The longest that /livez took meanwhile. */
  readonly livezMs: number;
}

export interface FloodsFigures {
  readonly quiet: number;
  readonly floods: readonly FloodFigures[];
}

const rate = defaultCallsPerSecond;
const latency = { least: 20, most: 60 };
/** Lively enough for the line to be longer than the budget. */
const changesPerDay = 200;
const probeMs = 500;

/** Polls at the limit, while floods go to the daemon, and to another server that answers them as cheaply as can be. */
export async function runFloods(
  scale: FloodsScale,
  onStep: (share: number, what: string) => void,
): Promise<FloodsFigures> {
  onStep(0, 'starting servers');
  return withBenchServers(async (servers) => {
    const { accounts } = scale;
    const { vendor, url } = await createSeededMirror(servers, 'floods', { accounts, latency }, changesPerDay);
    const daemon = await startBenchDaemon(servers, {
      databaseUrl: url,
      apps: [{ ...benchApp, origin: vendor.origin, callsPerSecond: rate }],
      environment: {
        POLL_MIN_INTERVAL: '1s',
        ADMIN_TOKEN: 'the-admin-token-of-the-benches',
        WEBHOOK_TOKEN: 'the-webhook-token-of-the-benches',
      },
    });
    const client = servers.helper(new URL('flood-process.ts', import.meta.url));
    const trivial = servers.helper(new URL('trivial-process.ts', import.meta.url));
    const daemonOrigin = await daemon.ask(z.string(), 'address');
    const trivialOrigin = await trivial.ask(z.string(), 'begin');

    async function callsPerSecond(): Promise<number> {
      const [calls, at] = [await vendor.calls(), performance.now()];
      await sleep(scale.ms);
      return (((await vendor.calls()) - calls) / (performance.now() - at)) * 1000;
    }

    async function flooded({ path, loops, bodyBytes }: Flood, origin: string) {
      await client.send('begin', { url: origin + path, loops, bodyBytes });
      await sleep(scale.ms / 4);
      const began = performance.now();
      const probing = new AbortController();
      const longest = origin === daemonOrigin ? probe(daemonOrigin, probing.signal) : 0;
      const calls = await callsPerSecond();
      probing.abort();
      const livezMs = await longest;
      const answers = await client.ask(z.number(), 'end');
      const seconds = (performance.now() - began) / 1000 + scale.ms / 4000;
      await sleep(scale.ms / 4);
      return { calls, livezMs, answersPerSecond: answers / seconds };
    }

    await sleep(scale.ms);
    onStep(0.05, 'quiet');
    const quiet = await callsPerSecond();
    const figures: FloodFigures[] = [];
    for (const [index, flood] of floods.entries()) {
      onStep(0.1 + (0.9 * index) / floods.length, flood.name);
      const rounds = [];
      for (let round = 0; round < scale.rounds; round += 1) {
        const beside = await flooded(flood, trivialOrigin);
        rounds.push({ beside, at: await flooded(flood, daemonOrigin) });
      }
      figures.push({
        flood: flood.name,
        besideIt: median(rounds.map(({ beside }) => beside.calls)),
        atDaemon: median(rounds.map(({ at }) => at.calls)),
        answersPerSecond: median(rounds.map(({ at }) => at.answersPerSecond)),
        livezMs: Math.max(...rounds.map(({ at }) => at.livezMs)),
      });
    }
    return { quiet, floods: figures };
  });
}

/** Requests /livez as Kubernetes does until it is stopped; returns the longest response time. A failure counts as a minute. */
async function probe(origin: string, signal: AbortSignal): Promise<number> {
  let longest = 0;
  while (!signal.aborted) {
    const began = performance.now();
    const good = await fetch(`${origin}/livez`, { headers: { connection: 'close' } }).then(
      async (response) => {
        await response.text();
        return response.ok;
      },
      () => false,
    );
    longest = Math.max(longest, good ? performance.now() - began : 60_000);
    await sleep(probeMs);
  }
  return longest;
}
