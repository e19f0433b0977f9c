import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { z } from 'zod';
import { defaultCallsPerSecond } from '../../src/config/values.ts';
import {
  type BenchServers,
  benchApp,
  createSeededMirror,
  startBenchDaemon,
  withBenchServers,
} from '../support/bench-servers.ts';
import { median } from '../support/statistics.ts';

/** How much and how long. */
export interface HintsScale {
  readonly accounts: number;
  /** A quiet window and a flooded one each. */
  readonly rounds: number;
  readonly ms: number;
}

export interface HintsFigures {
  /** Callbacks a second that were answered, and how long that took. */
  readonly callbacksPerSecond: number;
  readonly failed: number;
  readonly responseMs: { readonly p50: number; readonly p99: number; readonly most: number };
  readonly pollsPerSecond: { readonly quiet: number; readonly flooded: number };
  /** Polls of the half of the accounts that no callback has named, flooded, of the half of the quiet ones. */
  readonly unnamedRatio: number;
  readonly daemonCpu: { readonly quiet: number; readonly flooded: number };
  /** Megabytes of the heap, collected: before the first flood, after it, and after the last. */
  readonly heapMb: { readonly before: number; readonly first: number; readonly last: number };
}

const webhookToken = 'the-webhook-token-of-the-benches';
/** Callbacks to the daemon, a second. */
export const floodPerSecond = 5000;
const rate = defaultCallsPerSecond;
const latency = { least: 20, most: 60 };
/** Changing often enough for the queue to be longer than the budget, so that an account that comes first delays another. */
const changesPerDay = 200;

const flooded = z.object({
  answered: z.number(),
  failed: z.number(),
  p50: z.number(),
  p99: z.number(),
  most: z.number(),
});
const address = z.string();

/** Polls at the limit, with and without a flood of callbacks that name half of the accounts and many strangers. */
export async function runHints(
  scale: HintsScale,
  onStep: (share: number, what: string) => void,
): Promise<HintsFigures> {
  onStep(0, 'starting servers');
  return withBenchServers(async (servers) => {
    const parts = await startParts(servers, scale.accounts);
    await sleep(scale.ms);
    return summarise(await runRounds(parts, scale, onStep));
  });
}

type Parts = Awaited<ReturnType<typeof startParts>>;
type Window = Awaited<ReturnType<typeof measure>>;

/** A daemon at the limit, and a flood that is silent. */
async function startParts(servers: BenchServers, accounts: number) {
  const { vendor, url, db } = await createSeededMirror(
    servers,
    'hints',
    { accounts, latency },
    changesPerDay,
  );
  const order = {
    databaseUrl: url,
    apps: [{ ...benchApp, origin: vendor.origin, callsPerSecond: rate }],
    environment: { POLL_MIN_INTERVAL: '1s', WEBHOOK_TOKEN: webhookToken },
  };
  const daemon = await startBenchDaemon(servers, order, ['--expose-gc']);
  const flood = servers.helper(new URL('flood-process.ts', import.meta.url));
  await flood.send('begin', {
    origin: await daemon.ask(address, 'address'),
    appId: benchApp.appId,
    ids: vendor.ids.filter((_, index) => index % 2 === 0),
    token: webhookToken,
  });
  const unnamed = vendor.ids.filter((_, index) => index % 2 === 1);
  return { vendor, db, daemon, flood, unnamed };
}

/** What a window of `ms` milliseconds brings. */
async function measure({ vendor, db, daemon, unnamed }: Parts, forMs: number) {
  /** Claims of accounts that no callback names: each is a poll. */
  const claimsOfUnnamed = async () => {
    const { rows } = await sql<{ claims: number }>`
      select sum(claim_no) as claims from mirror.poll_state join mirror.account using (account_key)
      where account_id = any(${unnamed}::text[])
    `.execute(db);
    return rows[0]?.claims ?? 0;
  };
  const read = async () => ({
    at: performance.now(),
    calls: await vendor.calls(),
    unnamed: await claimsOfUnnamed(),
    cpuMs: (await daemon.usage()).cpuMs,
  });
  const before = await read();
  await sleep(forMs);
  const after = await read();
  const ms = after.at - before.at;
  return {
    ms,
    pollsPerSecond: ((after.calls - before.calls) / ms) * 1000,
    unnamed: after.unnamed - before.unnamed,
    cpu: (after.cpuMs - before.cpuMs) / ms,
  };
}

interface Rounds {
  readonly quiet: readonly Window[];
  readonly loud: readonly (Window & { readonly callbacks: z.infer<typeof flooded> })[];
  /** Megabytes before the first round, and after each. */
  readonly heap: readonly number[];
}

async function runRounds(
  parts: Parts,
  scale: HintsScale,
  onStep: (share: number, what: string) => void,
): Promise<Rounds> {
  const { daemon, flood } = parts;
  const heapNow = () => daemon.ask(z.number(), 'heap');
  const heap = [await heapNow()];
  const quiet: Rounds['quiet'][number][] = [];
  const loud: Rounds['loud'][number][] = [];
  for (let round = 0; round < scale.rounds; round += 1) {
    onStep(round / scale.rounds, 'quiet');
    quiet.push(await measure(parts, scale.ms));
    onStep((round + 0.5) / scale.rounds, `${floodPerSecond} callbacks a second`);
    await flood.send('rate', floodPerSecond);
    await sleep(scale.ms / 4);
    await flood.ask(flooded, 'take');
    const measured = await measure(parts, scale.ms);
    loud.push({ ...measured, callbacks: await flood.ask(flooded, 'take') });
    await flood.send('rate', 0);
    await sleep(scale.ms / 4);
    heap.push(await heapNow());
  }
  return { quiet, loud, heap };
}

function summarise({ quiet, loud, heap }: Rounds): HintsFigures {
  // All rounds together: a claim takes a second's accounts at once, and those named or not come in clusters.
  const unnamedPolls = loud.reduce((sum, { unnamed }) => sum + unnamed, 0);
  const loudMs = loud.reduce((sum, { ms }) => sum + ms, 0);
  const middle = <T>(values: readonly T[], of: (value: T) => number) => median(values.map(of));
  const quietPolls = middle(quiet, ({ pollsPerSecond }) => pollsPerSecond);
  const before = heap[0] ?? Number.NaN;
  return {
    callbacksPerSecond: middle(loud, ({ callbacks, ms }) => (callbacks.answered / ms) * 1000),
    failed: loud.reduce((sum, { callbacks }) => sum + callbacks.failed, 0),
    responseMs: {
      p50: middle(loud, ({ callbacks }) => callbacks.p50),
      p99: middle(loud, ({ callbacks }) => callbacks.p99),
      most: Math.max(...loud.map(({ callbacks }) => callbacks.most)),
    },
    pollsPerSecond: { quiet: quietPolls, flooded: middle(loud, ({ pollsPerSecond }) => pollsPerSecond) },
    unnamedRatio: ((unnamedPolls / loudMs) * 1000) / (quietPolls / 2),
    daemonCpu: { quiet: middle(quiet, ({ cpu }) => cpu), flooded: middle(loud, ({ cpu }) => cpu) },
    heapMb: { before, first: heap[1] ?? before, last: heap.at(-1) ?? before },
  };
}
