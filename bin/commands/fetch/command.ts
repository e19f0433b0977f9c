import { Command } from 'commander';
import { appOption, examples, helpGroups, lazily, parseWhole } from '../../options.ts';

/** `fetch` */
export function command(): Command {
  return new Command('fetch')
    .helpGroup(helpGroups.check)
    .description('one call of group_get, its answer shown as it came; it counts against the limit')
    .argument('<account>', 'UserID')
    .addOption(appOption())
    .option('--since <sequence>', 'LastSequence (default: 0, everything)', parseWhole('a sequence', 0))
    .option(
      '--group <name...>',
      'GroupName: these groups only; LastSequence and NeedFriend do not count then',
    )
    .option('--no-members', 'leave NeedFriend out: groups without their members')
    .addHelpText(
      'after',
      examples(
        'tim-mirror fetch alice',
        'tim-mirror fetch alice --since 12',
        'tim-mirror fetch alice --group 家人 同事',
      ),
    )
    .action(lazily(async () => (await import('./run.ts')).fetchCommand));
}
