// Simulated vendors of several apps in one process, each on a port of its own.
import { z } from 'zod';
import { populate, randomChange } from '../../src/simulator/population.ts';
import { createRandom } from '../../src/simulator/random.ts';
import { type Simulator, startSimulator } from '../../src/simulator/server.ts';
import { describeAccounts } from '../support/describe-accounts.ts';
import { serve } from '../support/serve.ts';

const begin = z.object({
  apps: z.array(z.object({ appId: z.number(), secretKey: z.string() })),
  accounts: z.number(),
  callsPerSecond: z.number(),
  latency: z.object({ least: z.number(), most: z.number() }),
  /** Of the calls, this many bring about a change. */
  changes: z.number(),
});
const order = z.object({ appId: z.number() });

interface Vendor {
  readonly simulator: Simulator;
  readonly ids: readonly string[];
}

const random = createRandom(1);
const vendors = new Map<number, Vendor>();
const changeMs = 1000;

function vendorOf(value: unknown): Vendor {
  const vendor = vendors.get(order.parse(value).appId);
  if (vendor === undefined) throw new Error('there is no such app');
  return vendor;
}

serve({
  async begin(value) {
    const { apps, accounts, changes, ...options } = begin.parse(value);
    for (const app of apps) {
      const simulator = await startSimulator({ ...app, ...options }, random);
      vendors.set(app.appId, { simulator, ids: populate(simulator.truth, accounts, random) });
    }
    const changesAtOnce = (options.callsPerSecond * changes * changeMs) / 1000;
    setInterval(() => {
      for (const { simulator, ids } of vendors.values())
        for (let done = 0; done < changesAtOnce; done += 1) {
          const id = random.pick(ids);
          simulator.truth.change(id, randomChange(simulator.truth, id, ids, random));
        }
    }, changeMs).unref();
    return Object.fromEntries([...vendors].map(([appId, { simulator }]) => [appId, simulator.origin]));
  },
  accounts(value) {
    const { simulator, ids } = vendorOf(value);
    return describeAccounts(simulator.truth, ids);
  },
  hang: (value) => vendorOf(value).simulator.setFaults([{ kind: 'hang', probability: 1 }]),
  refuse: (value) => vendorOf(value).simulator.setSecretKey('another'),
  stats: () =>
    [...vendors].map(([appId, { simulator }]) => {
      const { calls, worstSecond } = simulator.stats();
      return { appId, calls, worstSecond };
    }),
});
