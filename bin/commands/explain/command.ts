import { Command } from 'commander';
import { appOption, examples, helpGroups, lazily } from '../../options.ts';

/** `explain` */
export function command(): Command {
  return new Command('explain')
    .helpGroup(helpGroups.look)
    .description('all that is known of one account, its last outcomes, and why it is due when it is')
    .argument('<account>', 'UserID')
    .addOption(appOption())
    .option('--json', 'one JSON object')
    .addHelpText('after', examples('tim-mirror explain alice'))
    .action(lazily(async () => (await import('./run.ts')).explainCommand));
}
