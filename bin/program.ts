import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { describeTrouble, troubleOf } from '../db/database-trouble.ts';
import { codeOf } from '../db/storage-errors.ts';
import { accountFormats } from '../src/accounts/list-format.ts';
import { readVersion } from '../src/build.ts';
import { parseDuration } from '../src/config/values.ts';
import { ConfigError } from '../src/config.ts';
import { type Fault, faultNames, parseFault } from '../src/simulator/faults.ts';
import { readings } from '../src/simulator/group-api.ts';
import { printableLines } from '../src/status/printable.ts';
import { remedyFor, TencentError } from '../src/tencent/errors.ts';
import { CommandError } from './command-error.ts';
import { parseMoment } from './parse-moment.ts';

/** The command line, as `--help` describes it. */
export function createProgram(): Command {
  const program = new Command('tim-mirror')
    .description('Keeps a Postgres mirror of the friend groups (分组) of Tencent Cloud IM accounts.')
    .version(readVersion(), '--version')
    // It quotes what was typed, or what a script has put there.
    .configureOutput({ writeErr: (text) => process.stderr.write(printableLines(text)) })
    .showHelpAfterError('(--help tells more)')
    .addHelpText('after', environmentHelp);

  program
    .command('migrate')
    .description(
      'bring the database’s schema, roles and grants up to date; safe to run from several places at once',
    )
    .option(
      '--restored',
      'the database comes from a backup or has lost commits: new lines of the change feed get numbers beyond all that anybody has read',
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
    .action(lazily(async () => (await import('./commands/migrate.ts')).migrateCommand));

  const accounts = program.command('accounts').description('enrol accounts and take them out');
  accounts
    .command('import')
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
    .action(lazily(async () => (await import('./commands/accounts.ts')).importCommand));
  accounts
    .command('sync')
    .description(
      'read the source of accounts (ACCOUNTS_SOURCE_URL, ACCOUNTS_QUERY): enrol what is new, report what has vanished',
    )
    .addOption(appOption())
    .option('--prune', 'take out what the source has named and names no more: a tenth of it at most, or ten')
    .addOption(
      new Option('--max-removals <n>', 'with --prune: so many, which you vouch for').argParser(
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
    .action(lazily(async () => (await import('./commands/accounts-sync.ts')).syncAccountsCommand));
  accounts
    .command('add')
    .description('enrol accounts')
    .argument('<id...>', 'UserIDs')
    .addOption(appOption())
    .addHelpText('after', examples('tim-mirror accounts add alice bob'))
    .action(lazily(async () => (await import('./commands/accounts.ts')).addCommand));
  accounts
    .command('remove')
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
    .action(lazily(async () => (await import('./commands/accounts.ts')).removeCommand));

  program
    .command('start')
    .description('run the daemon until SIGTERM')
    .addOption(
      new Option('--role <roles>', 'what this process does: all, dispatch, poll, or several with commas')
        .default(['all'] as const, 'all')
        .argParser(parseRoles),
    )
    .addHelpText('after', examples('tim-mirror start', 'tim-mirror start --role poll'))
    .action(lazily(async () => (await import('./commands/start.ts')).startCommand));

  program
    .command('status')
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
    .action(lazily(async () => (await import('./commands/status.ts')).statusCommand));

  program
    .command('sync')
    .description('put accounts first in line and show what came of it')
    .argument('<id...>', 'UserIDs')
    .addOption(appOption())
    .addOption(
      new Option('--timeout <duration>', 'how long to wait').default(60_000, '60s').argParser(parseTime),
    )
    .addHelpText('after', examples('tim-mirror sync alice bob'))
    .action(lazily(async () => (await import('./commands/sync.ts')).syncCommand));

  program
    .command('fetch')
    .description('one call of group_get, its answer shown as it came; it counts against the limit')
    .argument('<account>', 'UserID')
    .addOption(appOption())
    .option('--since <sequence>', 'LastSequence (default: 0, everything)', parseSequence)
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
    .action(lazily(async () => (await import('./commands/fetch.ts')).fetchCommand));

  program
    .command('explain')
    .description('all that is known of one account, its last outcomes, and why it is due when it is')
    .argument('<account>', 'UserID')
    .addOption(appOption())
    .option('--json', 'one JSON object')
    .addHelpText('after', examples('tim-mirror explain alice'))
    .action(lazily(async () => (await import('./commands/explain.ts')).explainCommand));

  program
    .command('groups')
    .description('an account’s groups and members as the mirror has them, now or at a moment in the past')
    .argument('<account>', 'UserID')
    .addOption(appOption())
    .option(
      '--at <time>',
      'as the mirror knew them then: 2026-11-01, 2026-11-01T12:00:00+08:00 (UTC unless it says otherwise), or 2h for so long ago',
      parseAt,
    )
    .option('--json', 'one JSON object')
    .addHelpText('after', examples('tim-mirror groups alice', 'tim-mirror groups alice --at 2026-11-01'))
    .action(lazily(async () => (await import('./commands/groups.ts')).groupsCommand));

  program
    .command('changes')
    .description('what came and went, oldest first; Ctrl-C ends it')
    .addOption(appOption())
    .addOption(
      new Option('--since <duration>', 'from so long ago').default(3_600_000, '1h').argParser(parseTime),
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
    .action(lazily(async () => (await import('./commands/changes.ts')).changesCommand));

  program
    .command('probe')
    .description('ten harmless reads that find out how the vendor treats the sequence on this app')
    .argument('<account>', 'UserID of an account with two groups or more')
    .addOption(appOption())
    .option('--json', 'one JSON object')
    .addHelpText('after', examples('tim-mirror probe alice'))
    .action(lazily(async () => (await import('./commands/probe.ts')).probeCommand));

  program
    .command('verify')
    .description(
      'read accounts in full at a twentieth of the budget and compare them with the mirror; exit code 1 if one is wrong',
    )
    .addOption(appOption())
    .option(
      '--sample <n>',
      'so many accounts taken at random (default: all)',
      parseWhole('a number of accounts', 1),
    )
    .option('--json', 'one JSON object for each difference, and one at the end')
    .addHelpText('after', examples('tim-mirror verify --sample 1000'))
    .action(lazily(async () => (await import('./commands/verify.ts')).verifyCommand));

  const removals = program
    .command('removals')
    .description('removals that are held because too many accounts shrank at once');
  removals
    .command('list')
    .description('what is held, with counts and the largest examples')
    .addOption(appOption())
    .option('--json', 'one JSON object')
    .addHelpText('after', examples('tim-mirror removals list'))
    .action(lazily(async () => (await import('./commands/removals.ts')).listRemovalsCommand));
  removals
    .command('release')
    .description('let them through: it is true that so much was removed')
    .addOption(appOption())
    .addOption(
      new Option('--for <duration>', 'how long removals are not held again')
        .default(3_600_000, '1h')
        .argParser(parseTime),
    )
    .addHelpText('after', examples('tim-mirror removals release', 'tim-mirror removals release --for 24h'))
    .action(lazily(async () => (await import('./commands/removals.ts')).releaseRemovalsCommand));
  removals
    .command('discard')
    .description('forget them: the vendor was wrong, and answers correctly again')
    .addOption(appOption())
    .addHelpText('after', examples('tim-mirror removals discard'))
    .action(lazily(async () => (await import('./commands/removals.ts')).discardRemovalsCommand));

  program
    .command('plan')
    .description(
      'how fresh a budget keeps so many accounts, before it is spent; round robin and other budgets beside it',
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
    .action(lazily(async () => (await import('./commands/plan.ts')).planCommand));

  program
    .command('simulator')
    .description('the vendor’s API on a port, for trying things out')
    .option('--port <port>', 'port (0: any free one)', parseWhole('a port', 0, 65_535), 8090)
    .option('--host <host>', 'address to listen on', '127.0.0.1')
    .option('--app <id>', 'SDKAppID it answers for', parseWhole('an SDKAppID', 1), 1_400_000_000)
    .option('--secret-key <key>', 'key that signatures are checked with', 'simulator-secret-key')
    .option('--admin <name>', 'administrator of the app', 'administrator')
    .option(
      '--accounts <n>',
      'accounts it begins with',
      parseWhole('a number of accounts', 0, 1_000_000),
      500,
    )
    .option('--changes <n>', 'changes a second', parseNumber('a number of changes a second', 0, 1000), 1)
    .addOption(
      new Option('--reading <reading>', 'what a sequence means to it').choices(readings).default('full'),
    )
    .option('--calls-per-second <n>', 'its limit', parseWhole('a limit', 1, 1_000_000), 200)
    .addOption(
      new Option('--latency <ms>', 'milliseconds an answer takes: 20, or 10-50')
        .default({ least: 10, most: 50 }, '10-50')
        .argParser(parseLatency),
    )
    .addOption(
      new Option(
        '--fault <kind=share>',
        `a fault and how likely it is: ${faultNames.join(', ')}, or an error code; repeatable`,
      )
        .default([], 'none')
        .argParser(collectFault),
    )
    .option('--seed <n>', 'seed of its chance', parseWhole('a seed', 0), 1)
    .addHelpText(
      'after',
      examples(
        'tim-mirror simulator --accounts 2000',
        'tim-mirror simulator --fault 30006=0.01 --fault reset=0.005',
      ),
    )
    .action(lazily(async () => (await import('./commands/simulator.ts')).simulatorCommand));

  return program;
}

/** Loads what a command works with only when it is called: help and mistakes are answered at once. */
function lazily<T extends unknown[]>(load: () => Promise<(...args: T) => Promise<void>>) {
  return async (...args: T): Promise<void> => {
    const command = await load();
    await command(...args);
  };
}

/** Runs a command line and returns the exit code: 2 when it was called wrongly, 1 when it failed. */
export async function runProgram(program: Command, argv: readonly string[]): Promise<number> {
  throwInsteadOfExit(program);
  try {
    await program.parseAsync([...argv]);
    return 0;
  } catch (error) {
    return explain(error);
  }
}

function throwInsteadOfExit(command: Command): void {
  command.exitOverride();
  for (const child of command.commands) throwInsteadOfExit(child);
}

/** Says in a sentence what went wrong; never a stack, which helps nobody at a terminal. */
export function explain(error: unknown): number {
  const say = (text: string) => process.stderr.write(`tim-mirror: ${printableLines(text)}\n`);
  if (error instanceof CommanderError) {
    // Commander has said it already.
    return error.exitCode === 0 ? 0 : 2;
  }
  if (error instanceof ConfigError) {
    for (const problem of error.problems) say(problem);
    return 2;
  }
  if (error instanceof CommandError) {
    say(error.message);
    return error.exitCode;
  }
  // Known by name, so that a command loads no more than it works with.
  if (error instanceof Error && errorsForPeople.has(error.name)) {
    say(error.message);
    return 1;
  }
  if (error instanceof TencentError) {
    const refused = error.kind === 'credentials' || error.kind === 'configuration';
    const remedy = refused ? ` ${remedyFor(error.kind, error.code)}` : '';
    say(`The call failed: ${error.message}${error.code === 0 ? '' : ` (${error.code})`}.${remedy}`);
    return 1;
  }
  say(sentenceFor(error));
  return 1;
}

/** Errors whose message is one sentence for the person at the terminal. */
const errorsForPeople: ReadonlySet<string> = new Set([
  'StartError',
  'SchemaError',
  'SessionSettingsError',
  'LocalServerError',
  'SourceError',
  'ListError',
]);

/** Errors of the layers below, by the code they carry: their messages may quote what was sent. */
function sentenceFor(error: unknown): string {
  const code = codeOf(error);
  if (code === 'EADDRINUSE' || code === 'EACCES') {
    const place =
      error instanceof Error && 'address' in error && 'port' in error
        ? ` ${error.address}:${error.port}`
        : '';
    const why = code === 'EACCES' ? 'may not be opened by this user' : 'is in use';
    return `The port${place} ${why}; choose another (HTTP_PORT, or --port).`;
  }
  const trouble = troubleOf(error);
  if (trouble !== undefined) return describeTrouble(trouble);
  const message = error instanceof Error ? error.message : String(error);
  return `${message}${code === '' ? '' : ` (${code})`}`;
}

function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}\n`;
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

function appOption(): Option {
  return new Option('--app <id>', 'SDKAppID, where several apps are configured').argParser(
    parseWhole('an SDKAppID', 1),
  );
}

function parseWhole(what: string, min: number, max = Number.MAX_SAFE_INTEGER) {
  return (text: string): number => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(
        `It must be ${what}, a whole number from ${min}${max < 2 ** 53 - 1 ? ` to ${max}` : ''}.`,
      );
    }
    return value;
  };
}

function parseNumber(what: string, min: number, max: number) {
  return (text: string): number => {
    const value = Number(text);
    if (text.trim() === '' || !(value >= min && value <= max)) {
      throw new InvalidArgumentError(`It must be ${what} from ${min} to ${max}.`);
    }
    return value;
  };
}

const parseSequence = parseWhole('a sequence', 0);

function parseTime(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError('Write it as 90s, 15m or 1h.');
  return ms;
}

function parseAt(text: string): Date {
  const moment = parseMoment(text, new Date());
  if (moment === undefined)
    throw new InvalidArgumentError('Write it as 2026-11-01, 2026-11-01T12:00:00Z, or 2h for so long ago.');
  return moment;
}

function parseRoles(text: string): ('all' | 'dispatch' | 'poll')[] {
  return text.split(',').map((role) => {
    if (role === 'all' || role === 'dispatch' || role === 'poll') return role;
    throw new InvalidArgumentError('Roles are all, dispatch and poll.');
  });
}

function parseLatency(text: string): { least: number; most: number } {
  const [, least, most = least] = /^(\d+)(?:-(\d+))?$/.exec(text) ?? [];
  if (least === undefined || Number(most) < Number(least)) {
    throw new InvalidArgumentError('Write it as 20, or 10-50.');
  }
  return { least: Number(least), most: Number(most) };
}

function collectFault(text: string, faults: readonly Fault[]): readonly Fault[] {
  const fault = parseFault(text);
  if (fault === undefined) throw new InvalidArgumentError('Write it as reset=0.01 or 30006=0.01.');
  return [...faults, fault];
}

const environmentHelp = `
Environment (each secret also as NAME_FILE, the path of a file that holds it):
  TIM_SDK_APP_ID, TIM_SECRET_KEY   the app and its key, from the vendor’s console
  TIM_ADMIN                        administrator of the app (administrator)
  TIM_REGION or TIM_ENDPOINT       cn, sg, kr, jp, de, us, id, in; or a URL (cn)
  TIM_CALLS_PER_SECOND             1 to 199; the vendor’s limit of 200 is shared by all the app does (190)
  TIM_APPS_FILE                    several apps, instead of the above
  DATABASE_URL                     postgres://user@host:5432/database; ?sslmode=… as with libpq,
                                   &sslrootcert=<file> for a CA of yours
  DATABASE_DIRECT_URL              Postgres past the pooler, where DATABASE_URL names one
  REDIS_URL                        redis://host:6379; without it one process only. Also redis+cluster://host1:6379,host2:6379
                                   and redis+sentinel://host1:26379,host2:26379/master-name; rediss… for TLS
  HTTP_HOST, HTTP_PORT             where HTTP is answered (127.0.0.1, 8080)
  HTTP_ALLOWED_HOSTS               names under which the page may be asked for with the token, without ports (any)
  ADMIN_TOKEN                      asked for by all of it but probes and metrics; set it behind any proxy
  WEBHOOK_TOKEN                    what the vendor signs its callbacks with; without it none are taken
  WEBHOOK_ALLOW_UNSIGNED           true: programs of this machine may call back without a signature (false)
  DISCOVER_ACCOUNTS                true: accounts that callbacks and answers name are enrolled (false)
  DISCOVER_ACCOUNTS_PER_HOUR       of an app, those that callbacks name (1000)
  POLL_MIN_INTERVAL, POLL_MAX_INTERVAL, FULL_READ_INTERVAL   (10s, 24h, 7d)
  ACCOUNTS_SOURCE_URL, ACCOUNTS_QUERY   a Postgres of yours and the select that names the accounts, read by the
                                   daemon every ACCOUNTS_SYNC_INTERVAL (1h) and by accounts sync
  HISTORY_RETENTION                how long the past is kept (none: for ever)
  HTTPS_PROXY, NO_PROXY            a proxy for calls to the vendor, and hosts that are called without it
  LOG_LEVEL                        trace, debug, info, warn, error, fatal, silent (info)
`;
