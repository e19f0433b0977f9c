// What a good engineer would write in an baseline: p-queue, upserts, delete-not-in, one transaction an account.
import PQueue from 'p-queue';
import { servePeer } from './peer.ts';
import { createSimpleCaller } from './simple-caller.ts';
import { createSimpleStore } from './simple-store.ts';

const readAhead = 1000;

servePeer(async ({ vendor, accounts, databaseUrl, callsUnderWay }) => {
  const call = createSimpleCaller(vendor, callsUnderWay);
  const store = await createSimpleStore(databaseUrl, accounts, callsUnderWay);
  const queue = new PQueue({ concurrency: callsUnderWay });
  let polls = 0;
  return {
    async work(until) {
      while (performance.now() < until) {
        for (const { accountId, sequence } of await store.next(readAhead)) {
          void queue.add(async () => {
            if (performance.now() >= until) return;
            await store.store(accountId, sequence, await call(accountId, sequence));
            polls += 1;
          });
        }
        await queue.onIdle();
      }
    },
    polls: () => polls,
  };
});
