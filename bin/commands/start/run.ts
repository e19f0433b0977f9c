import { StartError } from '../../../src/start-error.ts';
import { type Role, startDaemon } from '../../../workers/start.ts';
import { currentBuild, readEnvironment } from '../../environment.ts';
import { onSignals } from '../../signals.ts';

/** `start [--role all,dispatch,poll]`: runs until SIGTERM or SIGINT; a second signal ends it at once. */
export async function startCommand(options: { readonly role: readonly Role[] }): Promise<void> {
  const { config, log, scrubber } = readEnvironment(['app', 'credentials', 'database']);
  const daemon = await startDaemon({
    config,
    roles: options.role,
    build: currentBuild(),
    log,
    scrubber,
  });
  onSignals((times) => {
    if (times === 1) void daemon.stop();
    else daemon.abort();
  });
  const why = await daemon.stopped;
  if (why instanceof StartError) throw why;
}
