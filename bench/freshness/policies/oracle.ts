import { createDueHeap } from '../due-heap.ts';
import type { Policy, PolicyWorld } from '../policy.ts';

/**
 * The clairvoyant square-root law: knows every account's true rate at every instant, and plans again in the second
 * in which an account wakes. No policy can do better by more than a little; none can know as much.
 */
export function createOracle(world: PolicyWorld): Policy {
  const { size, random } = world;
  const weight = Float64Array.from(world.firstRate, Math.sqrt);
  const due = new Float64Array(size);
  const line = createDueHeap(size);
  let now = 0;

  function plan(account: number, at: number): void {
    due[account] = at;
    line.push(account, at);
  }

  const stride = (account: number) => 1 / (weight[account] ?? 1);
  return {
    enrol: (account) => plan(account, now + random() * stride(account)),
    claim(_at, places, claimed) {
      let count = 0;
      while (count < places && line.size > 0) {
        const key = line.smallestKey();
        const account = line.pop();
        // Planned again since.
        if (key !== due[account]) continue;
        now = Math.max(now, key);
        claimed[count] = account;
        count += 1;
      }
      return count;
    },
    answered: (account) => plan(account, now + stride(account)),
    failed: (account) => plan(account, now),
    rateChanged(account, rate) {
      const before = weight[account] ?? 0;
      weight[account] = Math.sqrt(rate);
      // Nothing to abort for when it falls asleep; what changed before that is read in its turn.
      if (before >= (weight[account] ?? 0)) return;
      const sooner = now + stride(account);
      if (sooner < (due[account] ?? 0)) plan(account, sooner);
    },
  };
}
