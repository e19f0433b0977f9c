// The same, with BullMQ where the p-queue was: one job an account.
import { Queue, Worker } from 'bullmq';
import { z } from 'zod';
import { servePeer } from './peer.ts';
import { createSimpleCaller } from './simple-caller.ts';
import { createSimpleStore } from './simple-store.ts';

const readAhead = 1000;
const jobData = z.object({ accountId: z.string(), sequence: z.number() });

servePeer(async ({ vendor, accounts, databaseUrl, redisUrl, callsUnderWay }) => {
  const call = createSimpleCaller(vendor, callsUnderWay);
  const store = await createSimpleStore(databaseUrl, accounts, callsUnderWay);
  const connection = { url: redisUrl };
  const queue = new Queue('accounts', { connection });
  let polls = 0;
  let left = 0;
  let end = 0;
  let done = Promise.withResolvers<void>();
  new Worker(
    'accounts',
    async (job) => {
      if (performance.now() < end) {
        const { accountId, sequence } = jobData.parse(job.data);
        await store.store(accountId, sequence, await call(accountId, sequence));
        polls += 1;
      }
    },
    { connection, concurrency: callsUnderWay, removeOnComplete: { count: 20 } },
  ).on('completed', () => {
    left -= 1;
    if (left === 0) done.resolve();
  });
  return {
    async work(until) {
      end = until;
      while (performance.now() < until) {
        const next = await store.next(readAhead);
        left = next.length;
        done = Promise.withResolvers();
        await queue.addBulk(next.map((data) => ({ name: 'poll', data })));
        await done.promise;
      }
    },
    polls: () => polls,
  };
});
