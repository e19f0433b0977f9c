import type { Database } from '../../db/client.ts';
import type { DatabaseClock } from '../../db/clock.ts';
import type { AppRow } from '../../db/queries/apps.ts';
import type { ClaimedAccount } from '../../db/queries/claims.ts';
import type { PollRecord } from '../../db/queries/poll-records.ts';
import { auditSample } from '../audit/audit-sample.ts';
import type { CallingAppConfig } from '../config/app-config.ts';
import type { PollConfig } from '../config/config.ts';
import type { Stop } from '../lifecycle.ts';
import type { SlotSource } from '../limiter/slots.ts';
import { createTokenBucket, type TokenBucket } from '../limiter/token-bucket.ts';
import type { Logger } from '../log.ts';
import type { AppMetrics } from '../metrics/create-metrics.ts';
import type { QueueStats } from '../schedule/queue-stats.ts';
import type { Scrubber } from '../scrubber.ts';
import { shortGroups } from '../sync/doubt.ts';
import { noRoom, type PollResult, pollAccount } from '../sync/poll-account.ts';
import type { PollDeps } from '../sync/poll-deps.ts';
import { type CallOptions, createTencentClient, type TencentClient } from '../tencent/client.ts';
import type { ResponseMemory } from '../tencent/response-memory.ts';
import type { FriendGroup } from '../tencent/wire.ts';
import { type AppCounters, type AppCounts, createAppCounters } from './app-counters.ts';
import { createAppSchedule } from './app-schedule.ts';
import { createPollBatchWriter } from './poll-batch-writer.ts';
import { createPollResults, type PollResults, showsService } from './poll-results.ts';
import { createRemovalBreaker } from './removal-breaker.ts';
import { createVendorBreaker, type VendorBreaker } from './vendor-breaker.ts';

/** One app in this process: its bucket, its connection to the vendor, and what is known of its queue. */
export interface AppRunner {
  readonly appId: number;
  readonly callsPerSecond: number;
  readonly metrics: AppMetrics;
  readonly bucket: TokenBucket;
  queue(): QueueStats;
  /** The vendor refuses the app: nothing but probes may be sent. */
  isHalted(): boolean;
  /** Polls an account and stores what came of it. Never rejects. `onSent` is called when its call is sent. */
  poll(account: ClaimedAccount, onSent: () => void): Promise<void>;
  /** Releases the lease of a claimed account. */
  release(record: PollRecord): Promise<void>;
  /** Polls that are not stored yet. */
  underWay(): number;
  /** Holds the app's removals when too many of its accounts shrink. */
  watchRemovals(): Promise<void>;
  /** Compares a few random accounts with the vendor. `seconds`: the length of a round, whose calls it may use a share of. */
  audit(seconds: number): Promise<void>;
  /** Takes over what the database said of the app when it was asked at `askedAt` (`performance.now()`). */
  refresh(row: AppRow, askedAt: number): void;
  /** Resolves when no poll is under way. */
  drained(): Promise<void>;
  /** Counts something else than polls. */
  count(event: string, times: number): void;
  /** Calls `listener` with every response from now on. */
  onResponse(listener: (groups: readonly FriendGroup[]) => void): void;
  /** What was counted since the last call. */
  takeCounts(): AppCounts;
  close(): Promise<void>;
}

interface AppRunnerOptions {
  readonly app: CallingAppConfig;
  readonly policy: { readonly poll: PollConfig; readonly confirmRemovalAfterMs: number };
  readonly database: { readonly db: Database; readonly clock: DatabaseClock };
  readonly limiter: LimiterOptions;
  /** Of the process: all runners share it. */
  readonly memory: ResponseMemory;
  readonly metrics: AppMetrics;
  readonly stop: Stop;
  readonly output: { readonly log: Logger; readonly scrubber: Scrubber };
}

interface LimiterOptions {
  readonly slots: SlotSource;
  /** For benches: a bucket without these slots. */
  readonly openBucket?: (() => TokenBucket) | undefined;
  /** Called at the end of each call, so that a busy process misses no slot: see `releaseDue` of the token bucket. */
  readonly releaseDueSlots: () => void;
}

const secondsSince = (moment: number) => (performance.now() - moment) / 1000;

/** A runner whose accounts are still to be counted by `refresh`. */
export function createAppRunner(options: AppRunnerOptions): AppRunner {
  const { app, memory, stop, metrics } = options;
  const { db, clock } = options.database;
  const { appId, callsPerSecond } = app;
  const log = options.output.log.child({ app: appId });
  const counters = createAppCounters(appId, () => clock.now());
  const vendorBreaker = createVendorBreaker({ db, appId, callsPerSecond, stopping: stop.soft, log });
  const removalBreaker = createRemovalBreaker({ db, appId, log });
  const schedule = createAppSchedule(callsPerSecond, options.policy.poll);
  const results = createPollResults({
    counters,
    metrics,
    onSilentChange: (account) => schedule.noteSilentChange() && warnOfSilentChange(account, log),
    log,
  });
  const writer = createPollBatchWriter({ db, appId, log, onStored: results.stored, onLost: results.lost });
  const bucket = openBucket(options, vendorBreaker, log);
  const client = openClient(options, bucket, counters);
  const underWay = createUnderWay();
  const signals = () => ({ soft: vendorBreaker.waiting(), hard: stop.hard });
  const pollDeps: PollDeps = {
    db,
    appId,
    client,
    policy: { ...schedule, confirmRemovalAfterMs: options.policy.confirmRemovalAfterMs },
    health: {
      mayBelieve: removalBreaker.mayBelieve,
      vendorIsUnhealthy: results.vendorIsUnhealthy,
      storage: results.storage,
    },
    random: Math.random,
    now: () => clock.now(),
    output: { log, scrub: options.output.scrubber.scrub },
  };
  const responses = createResponseReport(counters, metrics);
  const poll = createPoll(options, pollDeps, { results, responses, vendorBreaker, bucket, signals });

  return {
    appId,
    callsPerSecond,
    metrics,
    bucket,
    queue: schedule.queue,
    isHalted: vendorBreaker.isHalted,
    poll: (account, onSent) => underWay.during(async () => writer.write(await poll(account, onSent))),
    release: (record) => writer.write({ record }),
    underWay: underWay.count,
    watchRemovals: removalBreaker.watch,
    async audit(seconds) {
      if (vendorBreaker.isHalted()) return;
      const deps = {
        db,
        client,
        appId,
        callsPerSecond,
        log,
        openShare: memory.open,
        onCompared: metrics.compared,
      };
      await auditSample(deps, seconds, Math.random, signals());
    },
    drained: underWay.none,
    refresh(row, askedAt) {
      vendorBreaker.refresh(row, askedAt);
      schedule.refresh(row);
    },
    count: counters.event,
    onResponse: responses.listen,
    takeCounts: counters.take,
    close: () => client.close(),
  };
}

interface PollParts {
  readonly results: PollResults;
  readonly responses: ResponseReport;
  readonly vendorBreaker: VendorBreaker;
  readonly bucket: TokenBucket;
  readonly signals: () => CallOptions;
}

/** Polls an account if there is room for its response, counts what came of it, and acts on what concerns the whole app. */
function createPoll(
  { memory, metrics }: AppRunnerOptions,
  deps: PollDeps,
  { results, responses, vendorBreaker, bucket, signals }: PollParts,
) {
  const { log } = deps.output;
  return async (account: ClaimedAccount, onSent: () => void): Promise<PollResult> => {
    const began = performance.now();
    const share = memory.open(account.accountKey);
    const result =
      share === undefined
        ? noRoom(deps, account)
        : await pollAccount(deps, account, { ...signals(), onSent, share }).finally(share.close);
    const { outcome, appError } = result;
    metrics.polled(outcome, secondsSince(began));
    for (const groups of result.responses ?? []) responses.report(groups);
    results.count(account, result);
    log.debug({ account: account.accountId, outcome, note: result.note?.message }, 'polled');
    if (appError?.kind === 'rate_limited') vendorBreaker.onRateLimited(appError, bucket.pause);
    else if (appError !== undefined) vendorBreaker.onRefused(appError);
    if (showsService(result))
      await vendorBreaker
        .onServed()
        .catch((error) => log.warn({ err: error }, 'the end of the halt could not be stored'));
    return result;
  };
}

type ResponseReport = ReturnType<typeof createResponseReport>;

/** Passes every response on to the listener, and counts those that lack members. */
function createResponseReport(counters: AppCounters, metrics: AppMetrics) {
  let listener: ((groups: readonly FriendGroup[]) => void) | undefined;
  return {
    report(groups: readonly FriendGroup[]) {
      if (shortGroups(groups).length > 0) {
        counters.event('short_answer');
        metrics.shortResponse();
      }
      listener?.(groups);
    },
    listen(to: (groups: readonly FriendGroup[]) => void) {
      listener = to;
    },
  };
}

function openBucket(options: AppRunnerOptions, breaker: VendorBreaker, log: Logger): TokenBucket {
  const { app, limiter, metrics } = options;
  const bucket =
    limiter.openBucket?.() ??
    createTokenBucket({
      slots: limiter.slots,
      callsPerSecond: app.callsPerSecond,
      throttledTo: breaker.callsPerSecond,
      onSlot: (lateMs) => metrics.slotCame(lateMs / 1000),
      log,
    });
  metrics.countMissedSlots(() => bucket.stats().missed);
  return bucket;
}

function openClient(options: AppRunnerOptions, bucket: TokenBucket, counters: AppCounters): TencentClient {
  const { app, database, limiter, metrics, output } = options;
  return createTencentClient({
    app,
    async takeToken(signal) {
      const asked = performance.now();
      await bucket.take(signal);
      metrics.tokenTaken(secondsSince(asked));
    },
    now: () => database.clock.now(),
    scrubber: output.scrubber,
    onCall() {
      counters.event('call');
      metrics.callSent();
    },
    onCallEnd(outcome, seconds) {
      metrics.callEnded(outcome, seconds);
      limiter.releaseDueSlots();
    },
  });
}

function warnOfSilentChange({ accountId }: ClaimedAccount, log: Logger): void {
  log.warn(
    { account: accountId },
    'groups changed though the sequence did not: it can’t be trusted on this app, so accounts are read in full more often',
  );
}

/** Counts polls that are not stored yet. */
function createUnderWay() {
  const listeners: (() => void)[] = [];
  let polls = 0;
  return {
    count: () => polls,
    async during(work: () => Promise<void>): Promise<void> {
      polls += 1;
      try {
        await work();
      } finally {
        polls -= 1;
        if (polls === 0) for (const resolve of listeners.splice(0)) resolve();
      }
    },
    /** Resolves when no poll is under way. */
    none: (): Promise<void> =>
      new Promise((resolve) => {
        if (polls === 0) resolve();
        else listeners.push(resolve);
      }),
  };
}
