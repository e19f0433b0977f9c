import { setMaxListeners } from 'node:events';
import type { Database } from '../db/client.ts';
import type { DatabaseClock } from '../db/clock.ts';
import { bucketMs, type CountedActivity, refusedEvent } from '../db/queries/activity.ts';
import { type AppRow, haltApp, resumeApp } from '../db/queries/apps.ts';
import type { ClaimedAccount } from '../db/queries/claims.ts';
import type { LearningCell } from '../db/queries/learning.ts';
import type { PollRecord } from '../db/queries/poll-records.ts';
import type { EvidenceCount } from '../db/queries/sequence-evidence.ts';
import type { Refusal } from '../db/storage-errors.ts';
import { auditSample } from '../src/audit/audit-sample.ts';
import type { CallingAppConfig, PollConfig } from '../src/config.ts';
import type { Stop } from '../src/lifecycle.ts';
import type { SlotSource } from '../src/limiter/slots.ts';
import { createTokenBucket, type TokenBucket } from '../src/limiter/token-bucket.ts';
import type { Logger } from '../src/log.ts';
import type { AppMetrics } from '../src/metrics/create-metrics.ts';
import type { Lesson } from '../src/schedule/learning.ts';
import type { Line } from '../src/schedule/line.ts';
import type { Scrubber } from '../src/scrubber.ts';
import { createRemovalBreaker } from '../src/sync/breaker.ts';
import { shortGroups } from '../src/sync/doubt.ts';
import {
  noRoom,
  type PollDeps,
  type PollOutcome,
  type PollResult,
  pollAccount,
} from '../src/sync/poll-account.ts';
import { createRefusalLog } from '../src/sync/refusal-log.ts';
import { mistrustSeconds } from '../src/sync/sequence-evidence.ts';
import { createStorageHealth } from '../src/sync/storage-health.ts';
import { createVendorHealth } from '../src/sync/vendor-health.ts';
import { createVendorLog } from '../src/sync/vendor-log.ts';
import type { AnswerMemory } from '../src/tencent/answer-memory.ts';
import { createTencentClient } from '../src/tencent/client.ts';
import { remedyFor, type TencentError } from '../src/tencent/errors.ts';
import type { FriendGroup } from '../src/tencent/wire.ts';
import { createRecorder } from './recorder.ts';

/** One app in this process: its bucket, its connection to the vendor, and what is known of its line. */
export interface Lane {
  readonly appId: number;
  readonly callsPerSecond: number;
  readonly metrics: AppMetrics;
  readonly bucket: TokenBucket;
  line(): Line;
  /** The vendor refuses the app: nothing but probes may be sent. */
  isHalted(): boolean;
  /** Polls an account and stores what came of it. Never rejects. `onSent` is told when its call is sent. */
  poll(account: ClaimedAccount, onSent: () => void): Promise<void>;
  /** Gives a claimed account back. */
  give(record: PollRecord): Promise<void>;
  /** Polls that are not stored yet. */
  underWay(): number;
  /** Holds the app's removals when too many of its accounts shrink. */
  watchRemovals(): Promise<void>;
  /** Compares a few accounts taken at random with the vendor: what a round of `seconds` may cost. */
  audit(seconds: number): Promise<void>;
  /** Takes over what the database said of the app when it was asked at `askedAt` (`performance.now()`). */
  refresh(row: AppRow, askedAt: number): void;
  /** Resolves when no poll is under way. */
  drained(): Promise<void>;
  /** Counts something else than polls. */
  count(event: string, times: number): void;
  /** Tells `listener` of every answer from now on. */
  onAnswer(listener: (groups: readonly FriendGroup[]) => void): void;
  /** What was counted since the last call. */
  takeCounts(): LaneCounts;
  close(): Promise<void>;
}

export interface LaneCounts {
  readonly activity: readonly CountedActivity[];
  readonly evidence: readonly EvidenceCount[];
  readonly learning: readonly LearningCell[];
}

export interface LaneOptions {
  readonly app: CallingAppConfig;
  readonly poll: PollConfig;
  readonly confirmRemovalAfterMs: number;
  readonly db: Database;
  readonly clock: DatabaseClock;
  readonly slots: SlotSource;
  /** Of the process: all lanes share it. */
  readonly answers: AnswerMemory;
  readonly metrics: AppMetrics;
  /** For benches: a bucket without these slots. */
  readonly openBucket?: (() => TokenBucket) | undefined;
  /** Called again and again while the process is busy: see `look` of the token bucket. */
  readonly onBusy: () => void;
  readonly stop: Stop;
  readonly scrubber: Scrubber;
  readonly log: Logger;
}

/** Until the first probe; a code that asks for patience gets a minute. */
const haltPauseMs = 5000;
const patientCodes: ReadonlySet<number> = new Set([70050]);
/** Full reads come so many times as often while the sequence is not trusted, but not oftener than hourly. */
const mistrust = 8;
const shortestFullReadMs = 3_600_000;
const shortestHoldMs = 1000;
const longestHoldMs = 10_000;

/** Outcomes that show that the vendor serves the app. */
const answeredWell: ReadonlySet<PollOutcome> = new Set([
  'unchanged',
  'changed',
  'removal_pending',
  'removal_held',
]);

/** Outcomes after which an account counts as read. */
const wasRead: ReadonlySet<PollOutcome> = new Set(['unchanged', 'changed', 'removal_held', 'gone']);

const secondsSince = (moment: number) => (performance.now() - moment) / 1000;

/** A lane whose line is still to be told by `refresh`. */
export function createLane(options: LaneOptions): Lane {
  const { app, db, clock, stop, metrics } = options;
  const log = options.log.child({ app: app.appId });
  // By the moment at which a bucket began: what is stored later belongs to when it happened.
  const activity = new Map<number, Map<string, number>>();
  const evidence = new Map<string, number>();
  const learning = new Map<string, LearningCell>();
  const health = createVendorHealth();
  const breaker = createRemovalBreaker({ db, appId: app.appId, log });
  const vendor = createVendorLog(log);
  const storage = createStorageHealth();
  const refusals = createRefusalLog(log);
  const recorder = createRecorder({
    db,
    appId: app.appId,
    log,
    onStored() {
      storage.recorded();
      refusals.written();
    },
    onLost: countRefusal,
  });
  let halted = false;
  // Rows read before this know nothing yet of a halt that this process has found.
  let haltStoredAt = Number.NEGATIVE_INFINITY;
  let sequenceTrusted = true;
  let silentChangeKnown = false;
  let line: Line = {
    accounts: 0,
    weightSum: 0,
    callsPerSecond: app.callsPerSecond,
    minIntervalSeconds: options.poll.minIntervalMs / 1000,
    maxIntervalSeconds: options.poll.maxIntervalMs / 1000,
  };
  const drainListeners: (() => void)[] = [];
  let polling = 0;
  let answerListener: ((groups: readonly FriendGroup[]) => void) | undefined;
  let slowedTo = app.callsPerSecond;
  let slowedUntil = Number.NEGATIVE_INFINITY;
  let holdMs = shortestHoldMs;
  let heldUntil = Number.NEGATIVE_INFINITY;

  // Ends waiting for tokens when the app is refused, and when the daemon stops.
  let waiting = newSignal();
  stop.soft.addEventListener('abort', () => waiting.abort(), { once: true });

  const bucket =
    options.openBucket?.() ??
    createTokenBucket({
      slots: options.slots,
      callsPerSecond: app.callsPerSecond,
      slowedTo: () => (performance.now() < slowedUntil ? slowedTo : app.callsPerSecond),
      onSlot: (lateMs) => metrics.slotCame(lateMs / 1000),
      log,
    });
  metrics.countForfeited(() => bucket.stats().forfeited);
  const client = createTencentClient({
    app,
    async takeToken(signal) {
      const asked = performance.now();
      await bucket.take(signal);
      metrics.tokenTaken(secondsSince(asked));
    },
    now: () => clock.now(),
    scrubber: options.scrubber,
    onCall() {
      countEvent('call');
      metrics.callSent();
    },
    onCallEnd(outcome, seconds) {
      metrics.callEnded(outcome, seconds);
      options.onBusy();
    },
  });

  function count(counts: Map<string, number>, what: string, times = 1): void {
    counts.set(what, (counts.get(what) ?? 0) + times);
  }

  function countEvent(event: string, times = 1): void {
    if (times === 0) return;
    const bucket = Math.floor(clock.now() / bucketMs) * bucketMs;
    const counts = activity.get(bucket) ?? new Map<string, number>();
    activity.set(bucket, counts);
    count(counts, event, times);
  }

  function countResult(account: ClaimedAccount, result: PollResult): void {
    countEvent(result.outcome);
    if (result.outcome === 'transient') {
      health.note(true);
      vendor.failed({ code: result.note?.code ?? 0, message: result.note?.message ?? '' });
    } else if (answeredWell.has(result.outcome)) {
      health.note(false);
      vendor.answered();
    }
    if (account.firstPolledAt === null && wasRead.has(result.outcome)) countEvent('first_read');
    if (result.failure !== undefined) metrics.failed(result.failure);
    if (result.refusal !== undefined) countRefusal(result.refusal, 1, result.outcome !== 'returned');
    for (const [kind, written] of Object.entries(result.written ?? {})) metrics.changed(kind, written);
    for (const observation of result.evidence ?? []) count(evidence, observation);
    if (result.lesson !== undefined) learn(result.lesson);
    if (result.evidence?.includes('silent_change') && !silentChangeKnown) {
      silentChangeKnown = true;
      log.warn(
        { account: account.accountId },
        'groups changed though the sequence did not: it can’t be trusted on this app, so accounts are read in full more often',
      );
    }
  }

  /** What passes at once is counted, and worth a line only where it hits many accounts; the health says that Postgres is away. */
  function countRefusal(refusal: Refusal, results: number, costs = true): void {
    countEvent(refusedEvent(refusal.class), results);
    metrics.writesRefused(refusal.class, results);
    if (refusal.class !== 'network' && (costs || storage.isIll())) refusals.refused(refusal, results);
  }

  function learn(lesson: Lesson): void {
    const { intervalLog2, expectedLog2, step, expected } = lesson;
    const cell = `${intervalLog2} ${expectedLog2} ${step}`;
    const before = learning.get(cell);
    learning.set(cell, {
      appId: app.appId,
      intervalLog2,
      expectedLog2,
      step,
      polls: (before?.polls ?? 0) + 1,
      expected: (before?.expected ?? 0) + expected,
    });
  }

  /** How often accounts are asked for everything: more often on an app whose sequence has been caught lying. */
  function fullReadIntervalMs(): number {
    const { fullReadIntervalMs: configured } = options.poll;
    return sequenceTrusted
      ? configured
      : Math.max(configured / mistrust, Math.min(configured, shortestFullReadMs));
  }

  function newSignal(): AbortController {
    const controller = new AbortController();
    setMaxListeners(0, controller.signal);
    if (stop.soft.aborted) controller.abort();
    return controller;
  }

  function onRateLimited(error: TencentError): void {
    const now = performance.now();
    if (now < heldUntil) return;
    // Again, sooner after a pause than it lasted: somebody else is using up the app's limit.
    holdMs = now - heldUntil < holdMs ? Math.min(holdMs * 2, longestHoldMs) : shortestHoldMs;
    heldUntil = now + holdMs;
    log.warn(
      { code: error.code, pauseMs: holdMs },
      'rate limited by the vendor: every caller of the app pauses',
    );
    bucket.hold(holdMs).catch((holdError) => log.warn({ err: holdError }, 'the pause could not be shared'));
  }

  function onRefused(error: TencentError): void {
    halted = true;
    haltStoredAt = Number.POSITIVE_INFINITY;
    const stopped = waiting;
    waiting = newSignal();
    stopped.abort();
    const pauseMs = patientCodes.has(error.code) ? 60_000 : haltPauseMs;
    haltApp(db, { appId: app.appId, kind: error.kind, code: error.code, message: error.message, pauseMs })
      .then((fresh) => {
        if (!fresh) return;
        const remedy = remedyFor(error.kind, error.code);
        log.error(
          { kind: error.kind, code: error.code, vendor: error.message, remedy },
          'app halted: the vendor refuses it',
        );
      })
      .catch((haltError) => log.warn({ err: haltError }, 'the halt could not be stored'))
      .finally(() => {
        haltStoredAt = performance.now();
      });
  }

  function onAnswer(groups: readonly FriendGroup[]): void {
    if (shortGroups(groups).length > 0) {
      countEvent('short_answer');
      metrics.shortAnswer();
    }
    answerListener?.(groups);
  }

  async function onAnswered(): Promise<void> {
    if (!halted) return;
    halted = false;
    if (await resumeApp(db, app.appId)) log.info('app goes on: the vendor answers again');
  }

  const pollDeps: PollDeps = {
    db,
    appId: app.appId,
    client,
    line: () => line,
    random: Math.random,
    now: () => clock.now(),
    fullReadIntervalMs,
    confirmRemovalAfterMs: options.confirmRemovalAfterMs,
    onAnswer,
    mayBelieve: breaker.mayBelieve,
    onRateLimited,
    onRefused,
    vendorIsIll: health.isIll,
    storage,
    scrub: options.scrubber.scrub,
    log,
  };

  async function pollAndCount(account: ClaimedAccount, onSent: () => void): Promise<PollResult> {
    const began = performance.now();
    const share = options.answers.open(account.accountKey);
    const result =
      share === undefined
        ? noRoom(pollDeps, account)
        : await pollAccount(pollDeps, account, {
            soft: waiting.signal,
            hard: stop.hard,
            onSent,
            share,
          }).finally(() => share.close());
    metrics.polled(result.outcome, secondsSince(began));
    countResult(account, result);
    log.debug({ account: account.accountId, outcome: result.outcome, note: result.note?.message }, 'polled');
    if (answeredWell.has(result.outcome)) {
      await onAnswered().catch((error) =>
        log.warn({ err: error }, 'the end of the halt could not be stored'),
      );
    }
    return result;
  }

  return {
    appId: app.appId,
    callsPerSecond: app.callsPerSecond,
    metrics,
    bucket,
    line: () => line,
    isHalted: () => halted,

    async poll(account, onSent) {
      polling += 1;
      try {
        await recorder.record(await pollAndCount(account, onSent));
      } finally {
        polling -= 1;
        if (polling === 0) for (const resolve of drainListeners.splice(0)) resolve();
      }
    },

    give: (record) => recorder.record({ outcome: 'returned', record }),
    underWay: () => polling,

    watchRemovals: breaker.watch,

    async audit(seconds) {
      if (halted) return;
      const { appId, callsPerSecond } = app;
      const signals = { soft: waiting.signal, hard: stop.hard };
      const { open: openShare } = options.answers;
      const deps = { db, client, appId, callsPerSecond, log, openShare, onCompared: metrics.compared };
      await auditSample(deps, seconds, Math.random, signals);
    },

    drained: () =>
      new Promise((resolve) => {
        if (polling === 0) resolve();
        else drainListeners.push(resolve);
      }),

    refresh(row, askedAt) {
      if (askedAt > haltStoredAt) halted = row.halt !== undefined;
      silentChangeKnown ||= row.silentChangeAgo !== undefined;
      sequenceTrusted = row.silentChangeAgo === undefined || row.silentChangeAgo > mistrustSeconds;
      slowedTo = row.slowed?.callsPerSecond ?? app.callsPerSecond;
      slowedUntil = askedAt + (row.slowed?.secondsLeft ?? 0) * 1000;
      line = { ...line, accounts: row.accountCount, weightSum: row.weightSum };
    },

    count: countEvent,
    onAnswer(listener) {
      answerListener = listener;
    },

    takeCounts() {
      const { appId } = app;
      const taken = {
        activity: [...activity].flatMap(([at, counts]) =>
          [...counts].map(([event, times]) => ({ appId, event, count: times, at })),
        ),
        evidence: [...evidence].map(([observation, times]) => ({ appId, observation, count: times })),
        learning: [...learning.values()],
      };
      activity.clear();
      evidence.clear();
      learning.clear();
      return taken;
    },

    close: () => client.close(),
  };
}
