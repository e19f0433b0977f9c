import { Command, InvalidArgumentError, Option } from 'commander';
import { type Fault, faultNames, parseFault } from '../../../src/simulator/faults.ts';
import { readings } from '../../../src/simulator/group-api.ts';
import { examples, helpGroups, lazily, parseNumber, parseWhole } from '../../options.ts';

/** `simulator` */
export function command(): Command {
  return new Command('simulator')
    .helpGroup(helpGroups.try)
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
    .action(lazily(async () => (await import('./run.ts')).simulatorCommand));
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
