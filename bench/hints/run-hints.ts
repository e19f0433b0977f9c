import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
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
export interface HintsScale {
  readonly accounts: number;
  /** Quiet and flooded stretches that follow each other. */
  readonly rounds: number;
  readonly ms: number;
}

export interface HintsFigures {
  /** Callbacks a second that were answered, and how long that took. */
  readonly callbacksPerSecond: number;
  readonly failed: number;
  readonly answerMs: { readonly p50: number; readonly p99: number; readonly most: number };
  readonly pollsPerSecond: { readonly quiet: number; readonly flooded: number };
  /** Polls of the half of the accounts that no callback has named, flooded, of the half of the quiet ones. */
  readonly unnamedRatio: number;
  readonly daemonCpu: { readonly quiet: number; readonly flooded: number };
  /** Megabytes of the heap, collected: before the first flood, after it, and after the last. */
  readonly heapMb: { readonly before: number; readonly first: number; readonly last: number };
}

const webhookToken = 'the-webhook-token-of-the-benches';
/** What is told to the daemon, a second. */
export const floodPerSecond = 5000;
const rate = defaultCallsPerSecond;
const latency = { least: 20, most: 60 };
/** Lively enough for the line to be longer than the budget, so that whoever comes first takes something from another. */
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
    const { accounts } = scale;
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
    const named = vendor.ids.filter((_, index) => index % 2 === 0);
    const unnamed = vendor.ids.filter((_, index) => index % 2 === 1);
    const flood = servers.helper(new URL('flood-process.ts', import.meta.url));
    await flood.tell('begin', {
      origin: await daemon.ask(address, 'address'),
      appId: benchApp.appId,
      ids: named,
      token: webhookToken,
    });
    await sleep(scale.ms);

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
    async function stretch() {
      const before = await read();
      await sleep(scale.ms);
      const after = await read();
      const ms = after.at - before.at;
      return {
        ms,
        pollsPerSecond: ((after.calls - before.calls) / ms) * 1000,
        unnamed: after.unnamed - before.unnamed,
        cpu: (after.cpuMs - before.cpuMs) / ms,
      };
    }

    const heap = () => daemon.ask(z.number(), 'heap');
    const before = await heap();
    const after: number[] = [];
    const quiet: Awaited<ReturnType<typeof stretch>>[] = [];
    const loud: Awaited<ReturnType<typeof stretch>>[] = [];
    const answers: (z.infer<typeof flooded> & { readonly ms: number })[] = [];
    for (let round = 0; round < scale.rounds; round += 1) {
      onStep(round / scale.rounds, 'quiet');
      quiet.push(await stretch());
      onStep((round + 0.5) / scale.rounds, `${floodPerSecond} callbacks a second`);
      await flood.tell('rate', floodPerSecond);
      await sleep(scale.ms / 4);
      await flood.ask(flooded, 'take');
      const measured = await stretch();
      loud.push(measured);
      answers.push({ ...(await flood.ask(flooded, 'take')), ms: measured.ms });
      await flood.tell('rate', 0);
      await sleep(scale.ms / 4);
      after.push(await heap());
    }
    // All rounds together: a claim takes a second's accounts at once, and those named or not come in clusters.
    const unnamedPolls = loud.reduce((sum, stretch) => sum + stretch.unnamed, 0);
    const loudMs = loud.reduce((sum, stretch) => sum + stretch.ms, 0);
    const middle = <T>(values: readonly T[], of: (value: T) => number) => median(values.map(of));
    return {
      callbacksPerSecond: middle(answers, ({ answered, ms }) => (answered / ms) * 1000),
      failed: answers.reduce((sum, { failed }) => sum + failed, 0),
      answerMs: {
        p50: middle(answers, ({ p50 }) => p50),
        p99: middle(answers, ({ p99 }) => p99),
        most: Math.max(...answers.map(({ most }) => most)),
      },
      pollsPerSecond: {
        quiet: middle(quiet, ({ pollsPerSecond }) => pollsPerSecond),
        flooded: middle(loud, ({ pollsPerSecond }) => pollsPerSecond),
      },
      unnamedRatio:
        ((unnamedPolls / loudMs) * 1000) / (middle(quiet, ({ pollsPerSecond }) => pollsPerSecond) / 2),
      daemonCpu: { quiet: middle(quiet, ({ cpu }) => cpu), flooded: middle(loud, ({ cpu }) => cpu) },
      heapMb: { before, first: after[0] ?? before, last: after.at(-1) ?? before },
    };
  });
}
