import type { Fault } from '../../../src/simulator/faults.ts';
import type { Reading } from '../../../src/simulator/group-api.ts';
import { populate, randomChange } from '../../../src/simulator/population.ts';
import { createRandom } from '../../../src/simulator/random.ts';
import { startSimulator } from '../../../src/simulator/server.ts';
import { jsonText } from '../../../src/terminal/json-text.ts';
import { printable } from '../../../src/terminal/printable.ts';
import { onFirstSignal } from '../../signals.ts';

interface SimulatorCommand {
  readonly port: number;
  readonly host: string;
  readonly app: number;
  readonly secretKey: string;
  readonly admin: string;
  readonly accounts: number;
  readonly changes: number;
  readonly reading: Reading;
  readonly callsPerSecond: number;
  readonly latency: { readonly least: number; readonly most: number };
  readonly fault: readonly Fault[];
  readonly seed: number;
}

/** `simulator`: the vendor's API until SIGTERM or SIGINT, with what it has seen at the end. */
export async function simulatorCommand(options: SimulatorCommand): Promise<void> {
  const random = createRandom(options.seed);
  const simulator = await startSimulator(
    {
      appId: options.app,
      secretKey: options.secretKey,
      admin: options.admin,
      listen: { host: options.host, port: options.port },
      reading: options.reading,
      callsPerSecond: options.callsPerSecond,
      latency: options.latency,
      faults: options.fault,
    },
    random,
  );
  const ids = populate(simulator.truth, options.accounts, random);
  process.stdout.write(
    [
      `The vendor's API for app ${options.app} at ${simulator.origin}, with ${ids.length} accounts` +
        `${ids.length > 0 ? ` (${ids[0]} to ${ids.at(-1)})` : ''}.`,
      '',
      `  export TIM_ENDPOINT=${simulator.origin} TIM_SDK_APP_ID=${options.app}`,
      `  export TIM_SECRET_KEY=${printable(options.secretKey)}`,
      '',
      `What it has seen: ${simulator.origin}/control/stats, what is true: ${simulator.origin}/control/truth`,
      '',
    ].join('\n'),
  );
  const churn =
    options.changes > 0 && ids.length > 0
      ? setInterval(() => {
          const id = random.pick(ids);
          simulator.truth.change(id, randomChange(simulator.truth, id, ids, random));
        }, 1000 / options.changes)
      : undefined;
  await new Promise<void>((resolve) => {
    onFirstSignal(() => {
      resolve();
    });
  });
  clearInterval(churn);
  process.stdout.write(`${jsonText(simulator.stats())}\n`);
  await simulator.close();
}
