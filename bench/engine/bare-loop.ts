// The floor: accounts in turn, each with the sequence it last had, answers parsed and thrown away.
import { servePeer } from './peer.ts';
import { createSimpleCaller } from './simple-caller.ts';

servePeer(async ({ vendor, accounts, callsUnderWay }) => {
  const call = createSimpleCaller(vendor, callsUnderWay);
  const sequences = new Map(accounts.map(({ id, sequence }) => [id, sequence]));
  let polls = 0;
  return {
    async work(until) {
      await Promise.all(
        Array.from({ length: callsUnderWay }, async () => {
          while (performance.now() < until) {
            const id = accounts[polls % accounts.length]?.id ?? '';
            polls += 1;
            sequences.set(id, (await call(id, sequences.get(id) ?? 0)).CurrentSequence);
          }
        }),
      );
    },
    polls: () => polls,
  };
});
