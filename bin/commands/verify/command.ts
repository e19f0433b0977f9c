import { Command } from 'commander';
import { appOption, examples, helpGroups, lazily, parseWhole } from '../../options.ts';

/** `verify` */
export function command(): Command {
  return new Command('verify')
    .helpGroup(helpGroups.check)
    .description(
      'read accounts in full at a twentieth of the budget and compare them with the mirror; exit code 1 if one is wrong',
    )
    .addOption(appOption())
    .option(
      '--sample <n>',
      'a random sample of this many accounts (default: all)',
      parseWhole('a number of accounts', 1),
    )
    .option('--json', 'one JSON object for each difference, and one at the end')
    .option(
      '--acknowledge',
      'read nothing; take note that you have looked into the accounts found wrong so far, so that they alert no more',
    )
    .addHelpText('after', examples('tim-mirror verify --sample 1000', 'tim-mirror verify --acknowledge'))
    .action(lazily(async () => (await import('./run.ts')).verifyCommand));
}
