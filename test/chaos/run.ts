// npm run chaos -- --minutes 10 --seed 1 [--json]
import { randomInt } from 'node:crypto';
import { Command, InvalidArgumentError } from 'commander';
import { CommandError } from '../../bin/command-error.ts';
import { runProgram } from '../../bin/program.ts';
import { sweepAbandonedFolders } from '../../dev/local-servers/owned-folder.ts';
import { createProgress } from '../../src/terminal/progress.ts';
import { runChaos } from './chaos.ts';

const program = new Command('npm run chaos --')
  .description(
    'Runs three daemons through everything that can go wrong, and checks every promise of docs/guarantees.md.',
  )
  .option('--minutes <m>', 'how long', (text) => number(text, 0.1, 24 * 60), 10)
  .option('--seed <s>', 'seed of all chance (default: a new one)', (text) => number(text, 0, 2 ** 32 - 1))
  .option('--logs <folder>', 'keep what each daemon says, in full')
  .option('--json', 'only the figures, as one JSON object in the last line')
  .showHelpAfterError('(see --help)')
  .action(async (options: { minutes: number; seed?: number; logs?: string; json?: boolean }) => {
    await sweepAbandonedFolders();
    const progress = createProgress('chaos', options.minutes * 60);
    const say = (line: string) => {
      progress.stop();
      process.stderr.write(options.json === true ? '' : `${line}\n`);
    };
    const report = await runChaos({
      minutes: options.minutes,
      seed: options.seed ?? randomInt(2 ** 31),
      callsPerSecond: 180,
      agreeWithinSeconds: 60,
      say,
      ...(options.json === true ? {} : { onProgress: progress.update }),
      logs: options.logs,
    });
    process.stdout.write(`${JSON.stringify(report)}\n`);
    if (report.breaches.length > 0) {
      throw new CommandError(
        `${report.breaches.length} promises were broken; --minutes ${report.minutes} --seed ${report.seed} repeats it.`,
      );
    }
  });

process.exit(await runProgram(program, process.argv));

function number(text: string, min: number, max: number): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= min && value <= max)) {
    throw new InvalidArgumentError(`It must be a number from ${min} to ${max}.`);
  }
  return value;
}
