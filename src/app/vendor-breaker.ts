import { setMaxListeners } from 'node:events';
import type { Database } from '../../db/client.ts';
import { type AppRow, haltApp, resumeApp } from '../../db/queries/apps.ts';
import type { Logger } from '../log.ts';
import { remedyFor, type TencentError } from '../tencent/errors.ts';

/** What keeps an app from calling, or makes it call less: a halt, a pause for the rate limit, a throttle. */
export interface VendorBreaker {
  /** The vendor refuses the app: nothing but probes may be sent. */
  isHalted(): boolean;
  /** Aborts when the app is refused or the daemon stops: what waits for its turn to call gives up. */
  waiting(): AbortSignal;
  /** The vendor says that the app is over its limit: every caller of it pauses. */
  onRateLimited(error: TencentError, pause: (ms: number) => Promise<void>): void;
  /** The vendor refuses the app as a whole. */
  onRefused(error: TencentError): void;
  /** The vendor has served the app: a halt ends. */
  onServed(): Promise<void>;
  /** Calls a second while the app is throttled, else the budget. */
  callsPerSecond(): number;
  /** Takes over what the database said of the app when it was asked at `askedAt` (`performance.now()`). */
  refresh(row: Pick<AppRow, 'halt' | 'slowed'>, askedAt: number): void;
}

interface VendorBreakerOptions {
  readonly db: Database;
  readonly appId: number;
  readonly callsPerSecond: number;
  /** The daemon stops. */
  readonly stopping: AbortSignal;
  readonly log: Logger;
}

/** Until the first probe; a code that asks to wait gets a minute. */
const haltPauseMs = 5000;
const slowProbeMs = 60_000;
const slowProbeCodes: ReadonlySet<number> = new Set([70050]);
const shortestPauseMs = 1000;
const longestPauseMs = 10_000;

/** A breaker of an app that calls at its full rate until it hears otherwise. */
export function createVendorBreaker(options: VendorBreakerOptions): VendorBreaker {
  const { db, appId, stopping, log } = options;
  const nextPause = createPauses();
  let halted = false;
  // Rows read before this know nothing yet of a halt that this process has found.
  let haltStoredAt = Number.NEGATIVE_INFINITY;
  let throttle = { callsPerSecond: options.callsPerSecond, until: Number.NEGATIVE_INFINITY };
  let waiting = newSignal(stopping);
  stopping.addEventListener('abort', () => waiting.abort(), { once: true });

  function onRefused(error: TencentError): void {
    halted = true;
    haltStoredAt = Number.POSITIVE_INFINITY;
    const stopped = waiting;
    waiting = newSignal(stopping);
    stopped.abort();
    storeHalt(db, appId, error, log)
      .catch((haltError) => log.warn({ err: haltError }, 'the halt could not be stored'))
      .finally(() => {
        haltStoredAt = performance.now();
      });
  }

  return {
    isHalted: () => halted,
    waiting: () => waiting.signal,
    onRateLimited(error, pause) {
      const pauseMs = nextPause();
      if (pauseMs === undefined) return;
      log.warn({ code: error.code, pauseMs }, 'rate limited by the vendor: every caller of the app pauses');
      pause(pauseMs).catch((err) => log.warn({ err }, 'the pause could not be shared'));
    },
    onRefused,
    async onServed() {
      if (!halted) return;
      halted = false;
      if (await resumeApp(db, appId)) log.info('app goes on: the vendor answers again');
    },
    callsPerSecond: () =>
      performance.now() < throttle.until ? throttle.callsPerSecond : options.callsPerSecond,
    refresh({ halt, slowed }, askedAt) {
      if (askedAt > haltStoredAt) halted = halt !== undefined;
      throttle = {
        callsPerSecond: slowed?.callsPerSecond ?? options.callsPerSecond,
        until: askedAt + (slowed?.secondsLeft ?? 0) * 1000,
      };
    },
  };
}

/** Milliseconds to pause for; undefined while a pause lasts. */
function createPauses(): () => number | undefined {
  let pauseMs = shortestPauseMs;
  let until = Number.NEGATIVE_INFINITY;
  return () => {
    const now = performance.now();
    if (now < until) return undefined;
    // Limited again within the length of the last pause: another caller is using the app's limit, so the next pause is twice as long.
    pauseMs = now - until < pauseMs ? Math.min(pauseMs * 2, longestPauseMs) : shortestPauseMs;
    until = now + pauseMs;
    return pauseMs;
  };
}

/** Stores the halt, and says it in the log once for all processes. */
async function storeHalt(db: Database, appId: number, error: TencentError, log: Logger): Promise<void> {
  const { kind, code, message } = error;
  const pauseMs = slowProbeCodes.has(code) ? slowProbeMs : haltPauseMs;
  if (!(await haltApp(db, { appId, kind, code, message, pauseMs }))) return;
  const remedy = remedyFor(kind, code);
  log.error({ kind, code, vendor: message, remedy }, 'app halted: the vendor refuses it');
}

/** Every account under way listens to it. */
function newSignal(stopping: AbortSignal): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  if (stopping.aborted) controller.abort();
  return controller;
}
