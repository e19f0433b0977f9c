import { Command, Option } from 'commander';
import { appOption, examples, helpGroups, lazily, parseTime } from '../../options.ts';

/** `changes` */
export function command(): Command {
  return new Command('changes')
    .helpGroup(helpGroups.look)
    .description('what came and went, oldest first; Ctrl-C ends it')
    .addOption(appOption())
    .addOption(
      new Option('--since <duration>', 'how far back to begin').default(3_600_000, '1h').argParser(parseTime),
    )
    .option('--account <id>', 'of this account only')
    .option('--follow', 'and go on with what comes; nothing is left out, in whatever order transactions end')
    .option('--json', 'one JSON object a line')
    .addHelpText(
      'after',
      examples(
        'tim-mirror changes --since 15m',
        'tim-mirror changes --account alice --since 30d',
        'tim-mirror changes --follow --json | jq .groupName',
      ),
    )
    .action(lazily(async () => (await import('./run.ts')).changesCommand));
}
