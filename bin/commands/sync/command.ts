import { Command, Option } from 'commander';
import { appOption, examples, helpGroups, lazily, parseTime } from '../../options.ts';

/** `sync` */
export function command(): Command {
  return new Command('sync')
    .helpGroup(helpGroups.run)
    .description('put accounts first in the queue and show what came of it')
    .argument('<id...>', 'UserIDs')
    .addOption(appOption())
    .addOption(
      new Option('--timeout <duration>', 'how long to wait').default(60_000, '60s').argParser(parseTime),
    )
    .addHelpText('after', examples('tim-mirror sync alice bob'))
    .action(lazily(async () => (await import('./run.ts')).syncCommand));
}
