import { createAccountQueue } from '../account-queue.ts';
import type { Policy, PolicyWorld } from '../policy.ts';

/** One account after the other, at the full budget. */
export function createRoundRobin(world: PolicyWorld): Policy {
  const queue = createAccountQueue(world.size);
  return {
    enrol: (account) => queue.push(account),
    claim(_at, places, claimed) {
      const count = Math.min(places, queue.length);
      for (let place = 0; place < count; place += 1) claimed[place] = queue.shift();
      return count;
    },
    answered: (account) => queue.push(account),
    failed: (account) => queue.push(account),
  };
}
