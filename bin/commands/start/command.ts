import { Command, InvalidArgumentError, Option } from 'commander';
import { examples, helpGroups, lazily } from '../../options.ts';

/** `start` */
export function command(): Command {
  return new Command('start')
    .helpGroup(helpGroups.run)
    .description('run the daemon until SIGTERM')
    .addOption(
      new Option('--role <roles>', 'what this process does: all, dispatch, poll, or several with commas')
        .default(['all'] as const, 'all')
        .argParser(parseRoles),
    )
    .addHelpText('after', examples('tim-mirror start', 'tim-mirror start --role poll'))
    .action(lazily(async () => (await import('./run.ts')).startCommand));
}

function parseRoles(text: string): ('all' | 'dispatch' | 'poll')[] {
  return text.split(',').map((role) => {
    if (role === 'all' || role === 'dispatch' || role === 'poll') return role;
    throw new InvalidArgumentError('Roles are all, dispatch and poll.');
  });
}
