import type { Truth } from '../../src/simulator/truth.ts';
import type { SeedAccount } from './seed-mirror.ts';

/** Accounts as the simulated vendor holds them now. */
export function describeAccounts(truth: Truth, ids: readonly string[]): readonly SeedAccount[] {
  return ids.map((id) => {
    const account = truth.account(id);
    const groups = [...(account?.groups ?? [])].map(([name, { members }]) => ({
      name,
      friendNumber: members.size,
      members: [...members],
    }));
    return { id, sequence: account?.sequence ?? 0, groups };
  });
}
