import { sql } from 'kysely';
import type { Database } from '../../db/client.ts';
import { enrolAccounts } from '../../db/queries/accounts.ts';
import { ensureApp, readApps } from '../../db/queries/apps.ts';
import type { ClaimedAccount } from '../../db/queries/claims.ts';
import { countQueue } from '../../db/queries/count-queue.ts';
import { recordPolls } from '../../db/queries/poll-records.ts';
import { claimBatches } from '../../src/app/claim-batches.ts';
import { rateRule } from '../../src/schedule/policy.ts';
import type { QueueStats } from '../../src/schedule/queue-stats.ts';
import { createRandom, type Random } from '../../src/simulator/random.ts';
import { afterRead } from '../../src/sync/next-state.ts';

export interface RunningQueueOptions {
  readonly db: Database;
  readonly appId: number;
  readonly accounts: number;
  /** Changes a day of an account; none by default. */
  readonly changesPerDay?: (index: number) => number;
  readonly callsPerSecond: number;
  /** Default: ten seconds to a day. */
  readonly intervalSeconds?: { readonly min?: number; readonly max?: number };
  /** For how long the accounts have been watched when the run begins; 0: they were never polled. */
  readonly watchedDays?: number;
  readonly seed: number;
}

/** When an account was polled, in seconds since the run began. */
export interface Poll {
  readonly index: number;
  readonly at: number;
}

/**
 * A queue of accounts in Postgres, worked by the production statements and the production policy, whose time is made
 * to pass. Only the calls to the vendor are left out: accounts change at the rate given.
 */
export interface RunningQueue {
  /** Lets time pass in steps, each with a claim of what the budget allows. Returns the polls in order. */
  run(seconds: number, stepSeconds: number): Promise<readonly Poll[]>;
  /** Lets time pass without a claim. */
  pause(seconds: number): Promise<void>;
  setBudget(callsPerSecond: number): void;
  queue(): QueueStats;
}

const daySeconds = 86_400;
const countEverySeconds = 60;

/** Enrols the accounts of a queue that runs. */
export async function createRunningQueue(options: RunningQueueOptions): Promise<RunningQueue> {
  const { db, appId, watchedDays = 0 } = options;
  const random = createRandom(options.seed);
  const accounts = createSimulatedAccounts(options, random);
  let { callsPerSecond } = options;
  let now = 0;
  let counted = Number.NEGATIVE_INFINITY;
  let queue: QueueStats;

  await ensureApp(db, { appId, callsPerSecond: Math.ceil(callsPerSecond) });
  await enrolAccounts(db, appId, accounts.ids);
  if (watchedDays > 0) await accounts.makeKnown(watchedDays);
  await count();

  async function count(): Promise<void> {
    await countQueue(db, appId, rateRule);
    counted = now;
    const app = (await readApps(db)).find((candidate) => candidate.appId === appId);
    queue = {
      accounts: app?.accountCount ?? 0,
      weightSum: app?.weightSum ?? 0,
      callsPerSecond,
      minIntervalSeconds: options.intervalSeconds?.min ?? 10,
      maxIntervalSeconds: options.intervalSeconds?.max ?? daySeconds,
    };
  }

  async function pass(seconds: number): Promise<void> {
    now += seconds;
    await sql`
      update mirror.app set clock_moved_at = clock_moved_at - ${seconds} * interval '1 second' where app_id = ${appId}
    `.execute(db);
    if (now - counted >= countEverySeconds) await count();
  }

  return {
    queue: () => queue,

    setBudget(to) {
      callsPerSecond = to;
      queue = { ...queue, callsPerSecond };
    },

    pause: pass,

    async run(seconds, stepSeconds) {
      const polls: Poll[] = [];
      for (const end = now + seconds; now < end - 1e-9; ) {
        await pass(stepSeconds);
        const places = Math.floor(callsPerSecond * stepSeconds);
        const { accounts: claimed } = await claimBatches(db, appId, places, random.next);
        const polled = claimed.map((account) => accounts.poll(account, now, queue));
        await recordPolls(
          db,
          appId,
          polled.map(({ record }) => record),
        );
        polls.push(...polled.map((each) => each.poll));
      }
      return polls;
    },
  };
}

/** Accounts that change at the rate given, in seconds since the run began. */
function createSimulatedAccounts(options: RunningQueueOptions, random: Random) {
  const { db, appId, changesPerDay = () => 0 } = options;
  const indexes = new Map<string, number>();
  for (let index = 0; index < options.accounts; index += 1)
    indexes.set(`account-${String(index).padStart(6, '0')}`, index);
  const ids = [...indexes.keys()];
  // What Postgres keeps too, and would cut off at its own present.
  const times = new Map<number, { first: number; last: number; changed: number | null }>();

  /** As the policy would have left them after this many days: two days of memory, and a place somewhere in the queue. */
  async function makeKnown(watchedDays: number): Promise<void> {
    for (const index of indexes.values()) {
      const gap = Math.min(1 / changesPerDay(index), watchedDays) * daySeconds;
      times.set(index, { first: -watchedDays * daySeconds, last: -1, changed: -1 - gap * random.next() });
    }
    const rates = [...indexes.values()].map(changesPerDay);
    await sql`
      update mirror.poll_state state set
        status = 'active', sequence = 1, first_polled_at = now(), verified_at = now(), full_read_at = now(),
        change_mass = known.rate * 2, weight = greatest(sqrt(known.rate), 0.2), due_v = known.phase / greatest(sqrt(known.rate), 0.2)
      from mirror.account
      join unnest(${ids}::text[], ${rates}::float8[], ${rates.map(() => random.next())}::float8[])
        as known (id, rate, phase) on known.id = account_id
      where account.account_key = state.account_key and account.app_id = ${appId}
    `.execute(db);
  }

  function poll(account: ClaimedAccount, now: number, queue: QueueStats) {
    const index = indexes.get(account.accountId) ?? 0;
    const before = times.get(index);
    const changed =
      before !== undefined &&
      random.next() < 1 - Math.exp((-changesPerDay(index) * (now - before.last)) / daySeconds);
    times.set(index, {
      first: before?.first ?? now,
      last: now,
      changed: changed ? now : (before?.changed ?? null),
    });
    const known = {
      ...account,
      firstPolledAt: before === undefined ? null : before.first * 1000,
      verifiedAt: before === undefined ? null : before.last * 1000,
      changedAt: before?.changed == null ? null : before.changed * 1000,
    };
    const sequence = (account.sequence ?? 1) + (changed ? 1 : 0);
    const record = afterRead(known, { at: now * 1000, sequence, changed, full: false }, queue, random.next);
    return {
      poll: { index, at: now },
      record: { ...record, strideFrom: null, firstPolledAt: 1, verifiedAt: 1, changedAt: null },
    };
  }

  return { ids, makeKnown, poll };
}

/** The longest time that passed between two polls of each account that was polled twice or more, in seconds. */
export function longestWaits(polls: readonly Poll[]): ReadonlyMap<number, number> {
  const last = new Map<number, number>();
  const longest = new Map<number, number>();
  for (const { index, at } of polls) {
    const before = last.get(index);
    if (before !== undefined) longest.set(index, Math.max(longest.get(index) ?? 0, at - before));
    last.set(index, at);
  }
  return longest;
}
