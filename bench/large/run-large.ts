import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { z } from 'zod';
import type { Database } from '../../db/client.ts';
import { defaultCallsPerSecond } from '../../src/config/values.ts';
import { benchApp, createMirror, startBenchDaemon, withBenchServers } from '../support/bench-servers.ts';
import { sumOf } from '../support/sum-of.ts';
import { largeId, largest } from './large-accounts.ts';

export interface LargeScale {
  readonly largeAccounts: number;
  readonly smallAccounts: number;
  readonly seconds: number;
  /** Or until this many large accounts are written. */
  readonly untilWritten?: number;
}

export interface LargeResult {
  readonly seconds: number;
  /** Large accounts that were written, and small ones. */
  readonly writtenLarge: number;
  readonly writtenSmall: number;
  /** How long it took until every small account had been read; undefined when some are left. */
  readonly smallReadSeconds: number | undefined;
  /** Calls for large accounts; those that are more than the accounts were in vain. */
  readonly largeCalls: number;
  readonly answerMb: number;
  /** Resident memory of the daemon, the most that it was. */
  readonly peakMb: number;
  /** The longest that `/livez` took. */
  readonly livezMs: number;
  /** Polls that came to nothing because the database did not take them. */
  readonly refused: number;
  /** Those of them that took too long: Postgres cancelled them, and their accounts are read again. */
  readonly timedOut: number;
}

/** What Node gives its heap in a container of 768 MB, which is what the manifest allows. */
export const heapMb = 384;
const latency = { least: 20, most: 60 };
const lookMs = 100;

/** Has a daemon read accounts that are as large as may be, among small ones, and watches it meanwhile. */
export async function runLarge(
  scale: LargeScale,
  onStep: (share: number, what: string) => void,
): Promise<LargeResult> {
  onStep(0, 'starting servers');
  return withBenchServers(async (servers) => {
    const vendor = servers.helper(new URL('vendor-process.ts', import.meta.url));
    const { origin } = await vendor.ask(z.object({ origin: z.string() }), 'begin', { latency });
    const ids = [
      ...Array.from({ length: scale.largeAccounts }, (_, at) => largeId(at)),
      ...Array.from({ length: scale.smallAccounts }, (_, at) => `small-${at}`),
    ];
    const { url, db } = await createMirror(servers, 'large', [{ app: benchApp, ids }]);
    const daemon = await startBenchDaemon(
      servers,
      {
        databaseUrl: url,
        apps: [{ ...benchApp, origin, callsPerSecond: defaultCallsPerSecond }],
        environment: {},
      },
      [`--max-old-space-size=${heapMb}`],
    );
    const address = await daemon.ask(z.string(), 'address');
    const began = performance.now();
    const seconds = () => (performance.now() - began) / 1000;
    const probe = watchLivez(address);
    let smallReadSeconds: number | undefined;
    for (;;) {
      const written = await countWritten(db);
      if (written.small === scale.smallAccounts) smallReadSeconds ??= seconds();
      onStep(
        Math.min(1, seconds() / scale.seconds),
        `${written.large} large accounts and ${written.small} small ones`,
      );
      const enough = written.large >= (scale.untilWritten ?? scale.largeAccounts);
      if (seconds() >= scale.seconds || (enough && smallReadSeconds !== undefined)) break;
      await sleep(lookMs);
    }
    const livezMs = await probe.end();
    const taken = seconds();
    const written = await countWritten(db);
    const { large, largeBytes } = await vendor.ask(
      z.object({ large: z.number(), largeBytes: z.number() }),
      'stats',
    );
    const { maxRssMb } = await daemon.usage();
    const metrics = await (await fetch(new URL('/metrics', address))).text();
    await daemon.end();
    return {
      seconds: taken,
      writtenLarge: written.large,
      writtenSmall: written.small,
      smallReadSeconds,
      largeCalls: large,
      answerMb: largeBytes / 2 ** 20,
      peakMb: maxRssMb,
      livezMs,
      refused: sumOf(metrics, 'tim_mirror_refused_writes_total'),
      timedOut: sumOf(metrics, 'tim_mirror_refused_writes_total', 'sqlstate="57"'),
    };
  });
}

/** Asks `/livez` ten times a second until it is asked to end; then it reports how long the slowest answer took. */
function watchLivez(address: string) {
  let slowest = 0;
  let ended = false;
  const asking = (async () => {
    while (!ended) {
      const asked = performance.now();
      await (await fetch(new URL('/livez', address))).text();
      slowest = Math.max(slowest, performance.now() - asked);
      await sleep(lookMs);
    }
  })();
  return {
    async end() {
      ended = true;
      await asking;
      return slowest;
    },
  };
}

async function countWritten(db: Database) {
  const { rows } = await sql<{ large: number; small: number }>`
    select
      count(*) filter (where group_count = ${largest.groups})::float8 as large,
      count(*) filter (where group_count < ${largest.groups})::float8 as small
    from mirror.poll_state where first_polled_at is not null
  `.execute(db);
  return rows[0] ?? { large: 0, small: 0 };
}
