// A daemon in a process of its own that differs from `tim-mirror start` in two things: removals are confirmed
// sooner than after a minute (CONFIRM_MS), and its clock may be wrong (CLOCK_OFFSET_MS).
import { readFileSync } from 'node:fs';
import { parseConfig, secretsOf } from '../../src/config/config.ts';
import { createLogger } from '../../src/log.ts';
import { createScrubber } from '../../src/scrubber.ts';
import { startDaemon } from '../../workers/start.ts';

const offsetMs = Number(process.env['CLOCK_OFFSET_MS'] ?? 0);
if (offsetMs !== 0) {
  const TrueDate = Date;
  globalThis.Date = class extends TrueDate {
    constructor(...given: unknown[]) {
      // A Date made from nothing is now; any other is what it was made from.
      if (given.length === 0) super(TrueDate.now() + offsetMs);
      else super(...(given as [number]));
    }

    static override now(): number {
      return TrueDate.now() + offsetMs;
    }
  } as DateConstructor;
}

const config = parseConfig({ env: process.env, readFile: (path) => readFileSync(path, 'utf8') }, [
  'app',
  'credentials',
  'database',
]);
const scrubber = createScrubber(secretsOf(config));
const log = createLogger({ level: config.logLevel, scrubber });
const confirmRemovalAfterMs = Number(process.env['CONFIRM_MS'] ?? 1000);
const daemon = await startDaemon({ config, roles: ['all'], log, scrubber, confirmRemovalAfterMs });
process.on('SIGTERM', () => void daemon.stop());
await daemon.stopped;
process.exit(0);
