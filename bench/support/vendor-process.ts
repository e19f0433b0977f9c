// The simulated vendor in a process of its own: this many accounts, some of which change while it is called.
import { z } from 'zod';
import { populate, randomChange } from '../../src/simulator/population.ts';
import { createRandom } from '../../src/simulator/random.ts';
import { type Simulator, startSimulator } from '../../src/simulator/server.ts';
import { describeAccounts } from './describe-accounts.ts';
import { serve } from './serve.ts';

const begin = z.object({
  appId: z.number(),
  secretKey: z.string(),
  accounts: z.number(),
  /** Of each account, in its one group; without it accounts are as people's are. */
  members: z.number().optional(),
  callsPerSecond: z.number(),
  latency: z.object({ least: z.number(), most: z.number() }).optional(),
});
const share = z.number();
const faults = z.array(z.object({ kind: z.enum(['hang', 'empty_once']), probability: z.number() }));
const key = z.string();

const random = createRandom(1);
/** How often the changes that calls have brought about are made. */
const changeMs = 20;
let vendor: Simulator | undefined;
let ids: readonly string[] = [];
let changesPerCall = 0;
let owed = 0;
let seen = 0;

setInterval(() => {
  if (vendor === undefined) return;
  const { calls } = vendor.stats();
  owed += (calls - seen) * changesPerCall;
  seen = calls;
  for (; owed >= 1; owed -= 1) {
    const id = random.pick(ids);
    vendor.truth.change(id, randomChange(vendor.truth, id, ids, random));
  }
}, changeMs).unref();

/** Accounts with six groups of equal size. */
function populateEvenly(simulator: Simulator, accounts: number, members: number): readonly string[] {
  const made = Array.from({ length: accounts }, (_, index) => `user-${String(index + 1).padStart(6, '0')}`);
  for (const id of made) {
    simulator.truth.addAccount(id);
    for (let group = 0; group < 6; group += 1) {
      const friends = Array.from({ length: members / 6 }, (_, place) => `friend-${group}-${place}-of-${id}`);
      simulator.truth.change(id, { kind: 'add_group', group: `group ${group}`, members: friends });
    }
  }
  return made;
}

serve({
  async begin(value) {
    const { accounts, members, latency, ...options } = begin.parse(value);
    vendor = await startSimulator({ ...options, ...(latency === undefined ? {} : { latency }) }, random);
    ids =
      members === undefined
        ? populate(vendor.truth, accounts, random)
        : populateEvenly(vendor, accounts, members);
    return { origin: vendor.origin, ids };
  },
  change(value) {
    changesPerCall = share.parse(value);
  },
  faults(value) {
    vendor?.setFaults(faults.parse(value));
  },
  secretKey(value) {
    vendor?.setSecretKey(key.parse(value));
  },
  stats: () => vendor?.stats(),
  accounts: () => (vendor === undefined ? [] : describeAccounts(vendor.truth, ids)),
});
