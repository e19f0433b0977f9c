import { Command, InvalidArgumentError } from 'commander';
import { appOption, examples, helpGroups, lazily } from '../../options.ts';
import { parseMoment } from '../../parse-moment.ts';

/** `groups` */
export function command(): Command {
  return new Command('groups')
    .helpGroup(helpGroups.look)
    .description('an account’s groups and members as the mirror has them, now or at a moment in the past')
    .argument('<account>', 'UserID')
    .addOption(appOption())
    .option(
      '--at <time>',
      'as the mirror knew them then: 2026-11-01, 2026-11-01T12:00:00+08:00 (UTC unless it says otherwise), or 2h for two hours ago',
      parseAt,
    )
    .option('--json', 'one JSON object')
    .addHelpText('after', examples('tim-mirror groups alice', 'tim-mirror groups alice --at 2026-11-01'))
    .action(lazily(async () => (await import('./run.ts')).groupsCommand));
}

function parseAt(text: string): Date {
  const moment = parseMoment(text, new Date());
  if (moment === undefined)
    throw new InvalidArgumentError('Write it as 2026-11-01, 2026-11-01T12:00:00Z, or 2h for two hours ago.');
  return moment;
}
