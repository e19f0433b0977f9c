import { populateDemo } from '../../src/simulator/demo-people.ts';
import { randomChange } from '../../src/simulator/population.ts';
import { createRandom } from '../../src/simulator/random.ts';
import { type Simulator, startSimulator } from '../../src/simulator/server.ts';

/** A simulated app whose people keep changing their groups. */
export interface DemoVendor {
  readonly simulator: Simulator;
  readonly ids: readonly string[];
  /** Nothing changes any more, so that mirror and truth can be compared. */
  calmDown(): void;
  close(): Promise<void>;
}

const changesPerSecond = 5;

/** Starts the demo's vendor with 500 accounts and five changes a second. */
export async function startDemoVendor(app: { appId: number; secretKey: string }): Promise<DemoVendor> {
  const simulator = await startSimulator({ ...app, latency: { least: 10, most: 60 } }, createRandom(1));
  const { ids, random } = populateDemo(simulator.truth);
  const churn = setInterval(() => {
    const id = random.pick(ids);
    simulator.truth.change(id, randomChange(simulator.truth, id, ids, random));
  }, 1000 / changesPerSecond);
  return {
    simulator,
    ids,
    calmDown: () => clearInterval(churn),
    async close() {
      clearInterval(churn);
      await simulator.close();
    },
  };
}
