import type { Database } from '../../db/client.ts';
import { discoverAccounts, discoverNamed } from '../../db/queries/accounts.ts';
import { hintAccounts, slowApp } from '../../db/queries/hints.ts';
import { accountIdProblem } from '../accounts/account-id.ts';
import type { AppRunner } from '../app/app-runner.ts';
import { leaseSeconds } from '../app/claim-batches.ts';
import type { Logger } from '../log.ts';
import type { Callback } from '../tencent/callback.ts';
import type { FriendGroup } from '../tencent/wire.ts';
import { createIdBatcher, type IdBatcher } from './id-batcher.ts';
import { createRecent } from './recent.ts';
import { slowedRate } from './slow-down.ts';

/** What becomes of callbacks and of the friends that answers name. */
interface Hints {
  hasApp(appId: number): boolean;
  take(appId: number, callback: Callback): void;
  /** Hands on what has been gathered, and takes no more. */
  close(): Promise<void>;
}

export interface HintsOptions {
  readonly db: Database;
  readonly runners: readonly AppRunner[];
  /** Whether accounts that are named are enrolled. */
  readonly discover: boolean;
  /** Of an app, accounts that callbacks name, in all processes together. */
  readonly discoverPerHour: number;
  /** Called again and again while the process is busy: see `releaseDue` of the token bucket. */
  readonly releaseDueSlots: () => void;
  readonly log: Logger;
}

/** What is kept of one app. */
interface AppHints {
  readonly runner: AppRunner;
  readonly hints: IdBatcher;
  readonly named: IdBatcher;
  readonly discoveries: IdBatcher;
  /** The last warning that was stored, and until when it need not be stored again. */
  readonly warned: { callsPerSecond: number; until: number };
}

/** The least time between two hints of one account. */
const pauseSeconds = 5;
const slowedSeconds = 60;
/** A warning that says no more than one of the last seconds is not stored again. */
const warningKeptMs = 5000;
/** How many friends that were named lately are not looked up again, of all apps together; twice as many take some 10 MB. */
const namesRemembered = 50_000;

/** Hints for every app of this process. They only decide what is polled first: none is needed to be right. */
export function createHints(options: HintsOptions): Hints {
  const { db, runners, releaseDueSlots, log } = options;
  const ofApps = new Map(runners.map((runner) => [runner.appId, openAppHints(runner, options)]));

  async function throttle(
    { runner, warned }: AppHints,
    alert: Callback & { kind: 'over_limit' },
  ): Promise<void> {
    const { appId } = runner;
    const callsPerSecond = slowedRate(alert, runner.callsPerSecond);
    const now = performance.now();
    if (callsPerSecond === undefined || (now < warned.until && callsPerSecond >= warned.callsPerSecond))
      return;
    Object.assign(warned, { callsPerSecond, until: now + warningKeptMs });
    await slowApp(db, appId, { callsPerSecond, seconds: slowedSeconds });
    log.warn(
      { app: appId, callsPerSecond, calls: alert.calls, limit: alert.limit },
      'the vendor warns of the limit: the app sends less for a minute',
    );
  }

  return {
    hasApp: (appId) => ofApps.has(appId),

    take(appId, callback) {
      const app = ofApps.get(appId);
      if (app === undefined) return;
      const { runner, hints } = app;
      releaseDueSlots();
      runner.metrics.calledBack(callback.kind);
      switch (callback.kind) {
        case 'friends':
        case 'state':
          runner.metrics.hintsForgotten(hints.add(callback.accounts.filter(isAccountId)));
          return;
        case 'over_limit':
          throttle(app, callback).catch((error) =>
            log.warn({ err: error, app: appId }, 'the vendor’s warning could not be stored'),
          );
          return;
        case 'other':
          return;
        default:
          callback satisfies never;
      }
    },

    async close() {
      // Hints first: they may hand on accounts to be discovered.
      await Promise.all([...ofApps.values()].map(({ hints }) => hints.close()));
      await Promise.all(
        [...ofApps.values()].flatMap(({ named, discoveries }) => [named.close(), discoveries.close()]),
      );
    },
  };
}

/** What gathers the accounts that callbacks and answers of an app name. */
function openAppHints(runner: AppRunner, options: HintsOptions): AppHints {
  const { db, runners, discover, discoverPerHour, log } = options;
  const { appId } = runner;
  const noteDiscovered = (enrolled: number) => {
    runner.count('discovered', enrolled);
    if (enrolled > 0) log.info({ app: appId, accounts: enrolled }, 'accounts discovered');
  };
  const discoveries = createIdBatcher({
    log,
    store: async (ids) => noteDiscovered(await discoverAccounts(db, appId, ids)),
  });
  // The body of a callback is not signed, so what it names is bounded; an answer comes from the vendor.
  const named = createIdBatcher({
    log,
    async store(ids) {
      const { enrolled, leftOut } = await discoverNamed(db, appId, ids, discoverPerHour);
      noteDiscovered(enrolled);
      runner.count('discovery_left_out', leftOut);
    },
  });
  const hints = createIdBatcher({
    log,
    async store(ids) {
      const unknown = await hintAccounts(db, { appId, ids, leaseSeconds, pauseSeconds });
      runner.count('hinted', ids.length - unknown.length);
      runner.count('hint_unknown', unknown.length);
      if (discover) named.add(unknown);
    },
  });
  if (discover)
    runner.onResponse(createNameCollector(discoveries.add, Math.ceil(namesRemembered / runners.length)));
  return { runner, hints, named, discoveries, warned: { callsPerSecond: 0, until: 0 } };
}

const isAccountId = (id: string) => accountIdProblem(id) === undefined;

/** Hands on whom answers name, each once in a while: a friend is an account too. */
function createNameCollector(add: (ids: Iterable<string>) => number, remembered: number) {
  const recent = createRecent(remembered);
  return (groups: readonly FriendGroup[]): void => {
    const fresh = new Set<string>();
    for (const { members } of groups) {
      for (const id of members) if (!recent.has(id) && isAccountId(id)) fresh.add(id);
    }
    // Those that found no room are named again by a later answer.
    if (add(fresh) === 0) for (const id of fresh) recent.add(id);
  };
}
