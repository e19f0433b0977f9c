import { Command, Option } from 'commander';
import { accountFormats } from '../../../src/accounts/list-format.ts';
import { appOption, examples, helpGroups, lazily, parseWhole } from '../../options.ts';

/** `accounts` */
export function command(): Command {
  return new Command('accounts')
    .helpGroup(helpGroups.begin)
    .description('enrol accounts and take them out')
    .addCommand(importCommand())
    .addCommand(syncCommand())
    .addCommand(addCommand())
    .addCommand(removeCommand());
}

function importCommand(): Command {
  return new Command('import')
    .description(
      'enrol every account of a list: one id a line, CSV with a column account_id, user_id or id, or NDJSON {"account_id"}; or of a query',
    )
    .argument('[file]', 'the list, or - for standard input')
    .addOption(appOption())
    .option(
      '--from-sql <query>',
      'instead of a list: a select on a Postgres of yours, whose column account_id, or first column, holds the ids',
    )
    .option(
      '--source-url <url>',
      'the Postgres to ask (default: ACCOUNTS_SOURCE_URL, where its password is not seen in the list of processes)',
    )
    .addOption(formatOption())
    .addOption(columnOption())
    .addHelpText(
      'after',
      examples(
        'tim-mirror accounts import users.csv',
        'tim-mirror accounts import export.csv.gz --column im_name',
        'psql -Atc "select id from users" | tim-mirror accounts import -',
        'tim-mirror accounts import --from-sql "select id from users" --source-url postgres://reader@db/shop',
      ),
    )
    .action(lazily(async () => (await import('./lists.ts')).importCommand));
}

function syncCommand(): Command {
  return new Command('sync')
    .description(
      'read the source of accounts (ACCOUNTS_SOURCE_URL, ACCOUNTS_QUERY): enrol what is new, report what has vanished',
    )
    .addOption(appOption())
    .option('--prune', 'take out what the source has named and names no more: a tenth of it at most, or ten')
    .addOption(
      new Option('--max-removals <n>', 'with --prune: allow up to this many removals').argParser(
        parseWhole('a number of accounts', 0),
      ),
    )
    .option('--json', 'one JSON object')
    .addHelpText(
      'after',
      examples(
        'tim-mirror accounts sync',
        'tim-mirror accounts sync --prune',
        'tim-mirror accounts sync --prune --max-removals 25000',
      ),
    )
    .action(lazily(async () => (await import('./sync.ts')).syncAccountsCommand));
}

function addCommand(): Command {
  return new Command('add')
    .description('enrol accounts')
    .argument('<id...>', 'UserIDs')
    .addOption(appOption())
    .addHelpText('after', examples('tim-mirror accounts add alice bob'))
    .action(lazily(async () => (await import('./lists.ts')).addCommand));
}

function removeCommand(): Command {
  return new Command('remove')
    .description('take accounts out: they are polled no more and their groups end now; their past stays')
    .argument('[id...]', 'UserIDs')
    .addOption(appOption())
    .option('--file <file>', 'a list of accounts as for import, or - for standard input')
    .addOption(formatOption())
    .addOption(columnOption())
    .option('--purge', 'delete their past and their changes too')
    .addHelpText(
      'after',
      examples('tim-mirror accounts remove alice', 'tim-mirror accounts remove --file left.txt --purge'),
    )
    .action(lazily(async () => (await import('./lists.ts')).removeCommand));
}

function formatOption(): Option {
  return new Option(
    '--format <format>',
    'how the list is written (default: read from its first line); lines: each line is an id, whatever it looks like',
  ).choices(accountFormats);
}

function columnOption(): Option {
  return new Option('--column <name>', 'the column, or field, of the list that holds the ids');
}
