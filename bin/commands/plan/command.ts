import { Command, Option } from 'commander';
import { appOption, examples, helpGroups, lazily, parseNumber, parseWhole } from '../../options.ts';

/** `plan` */
export function command(): Command {
  return new Command('plan')
    .helpGroup(helpGroups.try)
    .description(
      'how fresh a budget keeps a number of accounts, before you spend it; compared with round robin and other budgets',
    )
    .option('--accounts <n>', 'how many accounts', parseWhole('a number of accounts', 1, 1_000_000_000))
    .option('--rate <r>', 'calls a second (default: 190, or the app’s)', parseWhole('a rate', 1, 199))
    .option('--dormant <share>', 'share that hardly ever changes', parseNumber('a share', 0, 0.999), 0.75)
    .option(
      '--changes-per-day <x>',
      'changes a day of the others, on average',
      parseNumber('a number of changes', 0.001, 100_000),
      5,
    )
    .option('--steady', 'habits never change (default: accounts stay lively for 20 days)')
    .addOption(
      new Option(
        '--from-database',
        'the accounts of the live mirror, and what it has seen of them',
      ).conflicts(['accounts', 'steady']),
    )
    .addOption(appOption())
    .option('--json', 'one JSON object')
    .addHelpText(
      'after',
      examples(
        'tim-mirror plan --accounts 1000000',
        'tim-mirror plan --accounts 3000000 --rate 150 --dormant 0.6 --changes-per-day 2',
        'tim-mirror plan --from-database',
      ),
    )
    .action(lazily(async () => (await import('./run.ts')).planCommand));
}
