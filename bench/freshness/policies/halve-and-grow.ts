import { createDueHeap } from '../due-heap.ts';
import type { Policy, PolicyWorld } from '../policy.ts';

const firstIntervalSeconds = 3600;
const retrySeconds = 30;

/** What most crawlers do: half the interval after a change, half as much again after none, within bounds. */
export function createHalveAndGrow(world: PolicyWorld): Policy {
  const { minIntervalSeconds: least, maxIntervalSeconds: most } = world;
  const interval = new Float64Array(world.size).fill(firstIntervalSeconds);
  const due = createDueHeap(world.size);
  return {
    enrol: (account, at) => due.push(account, at),
    claim(at, places, claimed) {
      let count = 0;
      while (count < places && due.smallestKey() <= at) {
        claimed[count] = due.pop();
        count += 1;
      }
      return count;
    },
    answered(account, at, changes) {
      const factor = changes > 0 ? 0.5 : 1.5;
      const next = Math.min(most, Math.max(least, (interval[account] ?? 0) * factor));
      interval[account] = next;
      due.push(account, at + next);
    },
    failed: (account, at) => due.push(account, at + retrySeconds),
  };
}
