import { Command, Option } from 'commander';
import { appOption, examples, helpGroups, lazily, parseTime } from '../../options.ts';

/** `removals` */
export function command(): Command {
  return new Command('removals')
    .helpGroup(helpGroups.run)
    .description('removals that are held because too many accounts shrank at once')
    .addCommand(listCommand())
    .addCommand(releaseCommand())
    .addCommand(discardCommand());
}

function listCommand(): Command {
  return new Command('list')
    .description('what is held, with counts and the largest examples')
    .addOption(appOption())
    .option('--json', 'one JSON object')
    .addHelpText('after', examples('tim-mirror removals list'))
    .action(lazily(async () => (await import('./run.ts')).listRemovalsCommand));
}

function releaseCommand(): Command {
  return new Command('release')
    .description('let them through: it is true that so much was removed')
    .addOption(appOption())
    .addOption(
      new Option('--for <duration>', 'how long removals are not held again')
        .default(3_600_000, '1h')
        .argParser(parseTime),
    )
    .addHelpText('after', examples('tim-mirror removals release', 'tim-mirror removals release --for 24h'))
    .action(lazily(async () => (await import('./run.ts')).releaseRemovalsCommand));
}

function discardCommand(): Command {
  return new Command('discard')
    .description('forget them: the vendor was wrong, and answers correctly again')
    .addOption(appOption())
    .addHelpText('after', examples('tim-mirror removals discard'))
    .action(lazily(async () => (await import('./run.ts')).discardRemovalsCommand));
}
