import { createAccountQueue } from '../account-queue.ts';
import type { Policy, PolicyWorld } from '../policy.ts';

/** One account after the other, at the full budget. */
export function createRoundRobin(world: PolicyWorld): Policy {
  const line = createAccountQueue(world.size);
  return {
    enrol: (account) => line.push(account),
    claim(_at, places, claimed) {
      const count = Math.min(places, line.length);
      for (let place = 0; place < count; place += 1) claimed[place] = line.shift();
      return count;
    },
    answered: (account) => line.push(account),
    failed: (account) => line.push(account),
  };
}
