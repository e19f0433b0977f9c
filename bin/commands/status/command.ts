import { Command, Option } from 'commander';
import { examples, helpGroups, lazily, parseTime } from '../../options.ts';

/** `status` */
export function command(): Command {
  return new Command('status')
    .helpGroup(helpGroups.run)
    .description('accounts, backlog, age, calls a second against the limit, failures; halted or not and why')
    .option('--json', 'one JSON object')
    .option('--watch', 'again every two seconds')
    .option('--quarantined', 'the accounts that are set aside, with the vendor’s words')
    .option('--learning', 'what polls have shown of how accounts change, and whether the estimates fit')
    .addOption(
      new Option(
        '--check',
        'only problems, a line each; exit code 1 when there is one: halted, held, failing, no process polls',
      ).conflicts(['watch', 'quarantined', 'learning']),
    )
    .option(
      '--max-age <duration>',
      'with --check: and when 1 account in 100 was last verified longer ago than this',
      parseTime,
    )
    .addHelpText(
      'after',
      examples(
        'tim-mirror status',
        'tim-mirror status --json | jq .apps[0].ageSeconds',
        'tim-mirror status --check --max-age 2h || notify-on-call',
      ),
    )
    .action(lazily(async () => (await import('./run.ts')).statusCommand));
}
