import type { Database } from '../../db/client.ts';
import { addAudit, requestFullRead, sampleAccounts } from '../../db/queries/audit.ts';
import type { Logger } from '../log.ts';
import type { CallOptions, TencentClient } from '../tencent/client.ts';
import type { ResponseMemory } from '../tencent/response-memory.ts';
import { compareAccount } from './compare-account.ts';

interface AuditDeps {
  readonly db: Database;
  readonly client: TencentClient;
  readonly appId: number;
  readonly callsPerSecond: number;
  /** Undefined while there is no room for the account's answer; it is left out then. */
  readonly openShare: ResponseMemory['open'];
  /** Called with the outcome of each comparison. */
  readonly onCompared?: (outcome: 'equal' | 'stale' | 'wrong') => void;
  readonly log: Logger;
}

/** Of the budget; a difference costs a second call, and those are few. */
const share = 0.004;
const atOnce = 4;
/** Of the round; what is left of a sample then makes way for the next, or the round would outlast its time. */
const mostOfRound = 0.5;

/**
 * Compares a few accounts taken at random with the vendor: what a round of `seconds` may cost. One that is wrong is
 * counted, reported and read again. Ends early when `stop` aborts.
 */
export async function auditSample(
  deps: AuditDeps,
  seconds: number,
  random: () => number,
  stop: CallOptions,
): Promise<void> {
  const { db, appId, log } = deps;
  // A fraction of a call comes now and then.
  const size = Math.floor(share * deps.callsPerSecond * seconds + random());
  if (size === 0) return;
  const ends = performance.now() + seconds * 1000 * mostOfRound;
  const left = [...(await sampleAccounts(db, appId, size))];
  const counts = { checked: 0, stale: 0, wrong: 0 };

  async function work(): Promise<void> {
    while (performance.now() < ends) {
      const account = left.shift();
      if (account === undefined) return;
      const share = deps.openShare(account.accountKey);
      if (share === undefined) continue;
      const { outcome, differences } = await compareAccount(deps, account, { ...stop, share }).finally(() =>
        share.close(),
      );
      if (outcome === 'unread') continue;
      counts.checked += 1;
      deps.onCompared?.(outcome);
      if (outcome === 'stale') counts.stale += 1;
      if (outcome !== 'wrong') continue;
      counts.wrong += 1;
      log.warn(
        { app: appId, account: account.accountId, differences: differences.length },
        'the mirror was wrong; it is read again',
      );
      await requestFullRead(db, account.accountKey);
    }
  }

  try {
    await Promise.all(Array.from({ length: atOnce }, work));
  } catch (error) {
    if (!stop.soft.aborted) throw error;
  }
  await addAudit(db, appId, counts);
}
