import { Command } from 'commander';
import { appOption, examples, helpGroups, lazily } from '../../options.ts';

/** `probe` */
export function command(): Command {
  return new Command('probe')
    .helpGroup(helpGroups.check)
    .description('ten harmless reads that find out how the vendor treats the sequence on this app')
    .argument('<account>', 'UserID of an account with two groups or more')
    .addOption(appOption())
    .option('--json', 'one JSON object')
    .addHelpText('after', examples('tim-mirror probe alice'))
    .action(lazily(async () => (await import('./run.ts')).probeCommand));
}
