import { setTimeout as sleep } from 'node:timers/promises';
import { assertSchema } from '../../db/migrate.ts';
import { formatStatus } from '../../src/status/format-status.ts';
import { readStatus } from '../../src/status/read-status.ts';
import { readEnvironment, withDatabase } from '../environment.ts';

const watchMs = 2000;
const clearScreen = '\u001b[H\u001b[2J';

/** `status [--json] [--watch]` */
export async function statusCommand(options: { json?: boolean; watch?: boolean }): Promise<void> {
  const environment = readEnvironment(['database']);
  await withDatabase(environment, async (db) => {
    await assertSchema(db);
    for (;;) {
      const status = await readStatus(db);
      const text = options.json === true ? `${JSON.stringify(status)}\n` : formatStatus(status);
      const redraw = options.watch === true && options.json !== true && process.stdout.isTTY;
      process.stdout.write(redraw ? clearScreen + text : text);
      if (options.watch !== true) return;
      await sleep(watchMs);
    }
  });
}
