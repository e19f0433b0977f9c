import { expect, test } from 'vitest';
import type { AppRunner } from '../../src/app/app-runner.ts';
import { silentLogger } from '../../src/log.ts';
import { startPollWorker } from '../../workers/poll-worker.ts';
import type { PollBatch, Queues, WorkOptions } from '../../workers/queues.ts';
import { waitFor } from '../support/wait-for.ts';

const account: PollBatch['accounts'][number] = {
  accountKey: 1,
  accountId: 'alice',
  claimNo: 1,
  status: 'active',
  sequence: 1,
  weight: 1,
  decayedChanges: 0,
  groupCount: 0,
  failCount: 0,
  firstPolledAt: null,
  verifiedAt: null,
  fullReadAt: null,
  changedAt: null,
  pendingAt: null,
  contentHash: null,
  pendingHash: null,
};

test('nothing is read while what was read waits for a connection to Postgres', async () => {
  let waiting = 51;
  let polled = 0;
  let process: WorkOptions['process'] | undefined;
  const queues = {
    work(_kind: string, options: WorkOptions) {
      process = options.process;
      return { close: async () => undefined };
    },
  } as unknown as Queues;
  const runner = {
    appId: 1,
    isHalted: () => false,
    underWay: () => 0,
    metrics: { batchDone: () => undefined },
    async poll(_account: unknown, onSent: () => void) {
      polled += 1;
      onSent();
    },
  } as unknown as AppRunner;
  const now = () => 1000;
  startPollWorker(
    {
      clock: { now, refresh: async () => undefined },
      queues,
      waitingForDatabase: () => waiting,
      log: silentLogger(),
    },
    runner,
  );
  const done = process?.({ claimedAt: now(), probe: false, accounts: [account] } satisfies PollBatch);
  await expect(waitFor('a poll', () => polled > 0, 300)).rejects.toThrow(/in vain/);
  waiting = 0;
  await done;
  expect(polled).toBe(1);
});
