import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import type { Database } from '../../db/client.ts';
import { type AccountOutcome, readOutcomes, requestPoll } from '../../db/queries/accounts.ts';

/** What came of putting an account first in the queue. */
export interface SyncOutcome {
  readonly accountId: string;
  /** `unknown`: not enrolled; `waiting`: not polled within the time given. */
  readonly outcome: 'unchanged' | 'changed' | 'awaiting_confirmation' | 'failed' | 'waiting' | 'unknown';
  readonly state: AccountOutcome | undefined;
}

const lookEveryMs = 250;

/**
 * Puts accounts first in the queue and waits until each has been polled by the daemon, at most `timeoutMs`. A poll that
 * was under way when we asked does not count.
 */
export async function syncNow(
  db: Database,
  appId: number,
  ids: readonly string[],
  timeoutMs: number,
): Promise<readonly SyncOutcome[]> {
  const { rows } = await sql<{ asked: Date }>`select clock_timestamp() as asked`.execute(db);
  const asked = rows[0]?.asked ?? new Date();
  await requestPoll(db, appId, ids);
  for (const start = performance.now(); ; ) {
    const states = new Map((await readOutcomes(db, appId, ids)).map((state) => [state.accountId, state]));
    const outcomes = ids.map((accountId) => judge(accountId, states.get(accountId), asked));
    const waiting = outcomes.some((outcome) => outcome.outcome === 'waiting');
    if (!waiting || performance.now() - start > timeoutMs) return outcomes;
    await sleep(lookEveryMs);
  }
}

function judge(accountId: string, state: AccountOutcome | undefined, asked: Date): SyncOutcome {
  const since = (time: Date | null | undefined) => time != null && time >= asked;
  if (state === undefined) return { accountId, outcome: 'unknown', state };
  if (since(state.changedAt)) return { accountId, outcome: 'changed', state };
  if (since(state.failedAt) && !since(state.verifiedAt)) return { accountId, outcome: 'failed', state };
  if (since(state.pendingAt)) return { accountId, outcome: 'awaiting_confirmation', state };
  if (since(state.verifiedAt)) return { accountId, outcome: 'unchanged', state };
  return { accountId, outcome: 'waiting', state };
}
