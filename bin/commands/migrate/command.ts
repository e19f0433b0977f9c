import { Command } from 'commander';
import { examples, helpGroups, lazily } from '../../options.ts';

/** `migrate` */
export function command(): Command {
  return new Command('migrate')
    .helpGroup(helpGroups.begin)
    .description(
      'bring the database’s schema, roles and grants up to date; safe to run from several places at once',
    )
    .option(
      '--restored',
      'the database comes from a backup or has lost commits: new lines of the change feed get numbers beyond all that consumers have read',
    )
    .option(
      '--daemon-role <role>',
      'give this role, which owns nothing, what the daemon and all other commands need, and nothing more',
    )
    .addHelpText(
      'after',
      examples(
        'DATABASE_URL=postgres://tim@localhost/tim tim-mirror migrate',
        'DATABASE_URL=postgres://tim_owner@localhost/tim tim-mirror migrate --daemon-role tim_daemon',
        'DATABASE_URL=postgres://tim@localhost/tim tim-mirror migrate --restored',
      ),
    )
    .action(lazily(async () => (await import('./run.ts')).migrateCommand));
}
