// A daemon in a process of its own that differs from `tim-mirror start` in one thing: removals are confirmed
// after a second instead of a minute.
import { parseConfig, secretsOf } from '../../src/config.ts';
import { createLogger } from '../../src/log.ts';
import { createScrubber } from '../../src/scrubber.ts';
import { startDaemon } from '../../workers/start.ts';

const config = parseConfig({ env: process.env, readFile: () => '' }, ['app', 'credentials', 'database']);
const scrubber = createScrubber(secretsOf(config));
const log = createLogger({ level: config.logLevel, scrubber });
const daemon = await startDaemon({ config, roles: ['all'], log, scrubber, confirmRemovalAfterMs: 1000 });
process.on('SIGTERM', () => void daemon.stop());
await daemon.stopped;
process.exit(0);
