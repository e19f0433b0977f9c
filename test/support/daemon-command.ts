import { type Command, type CommandOptions, daemonEnvironment, runCommand } from './daemon.ts';
import { waitFor } from './wait-for.ts';
import type { World } from './world.ts';

/** `tim-mirror start` for a world, or another program that runs a daemon. */
export function startCommand(
  world: World,
  redisUrl: string | undefined,
  env: Record<string, string> = {},
  { program, ...options }: Pick<CommandOptions, 'program' | 'through'> = {},
): Command {
  return runCommand(
    program === undefined ? ['start'] : [],
    daemonEnvironment({
      vendor: world.vendor,
      databaseUrl: world.database.url,
      env,
      ...(redisUrl === undefined ? {} : { redisUrl }),
    }),
    program === undefined ? options : { program, ...options },
  );
}

export const untilRunning = (daemon: Command) =>
  waitFor('the daemon to run', () => daemon.said().includes('tim-mirror runs') || undefined);

/** Asks daemons to stop; their exit codes. */
export async function endCommands(...daemons: Command[]): Promise<(number | null)[]> {
  for (const daemon of daemons) daemon.child.kill('SIGTERM');
  return Promise.all(daemons.map(async (daemon) => (await daemon.ended).code));
}
