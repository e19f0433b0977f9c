import { Command, InvalidArgumentError } from 'commander';
import { runProgram } from '../bin/program.ts';
import { parseDuration } from '../src/config/values.ts';
import { runDemo } from './demo/run.ts';

const program = new Command('npm run demo --')
  .description(
    'Mirrors a simulated app, or your own, into a PostgreSQL of its own. Needs nothing but Node and npm.',
  )
  .option('--for <duration>', 'mirror for this long, then end with a summary', parseFor)
  .option('--data <folder>', 'keep the database in this folder (default: a folder that goes with the demo)')
  .option(
    '--accounts <file>',
    'the accounts of your own app, one id a line; TIM_SDK_APP_ID and TIM_SECRET_KEY name it',
  )
  .addHelpText(
    'after',
    `
Examples:
  npm run demo
  npm run demo -- --for 20s
  TIM_SDK_APP_ID=1400000000 TIM_SECRET_KEY=… npm run demo -- --accounts users.txt --data /var/tmp/tim
`,
  )
  .showHelpAfterError('(see --help)')
  .action(runDemo);

process.exit(await runProgram(program, process.argv));

function parseFor(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms < 5000) throw new InvalidArgumentError('Write it as 20s or 5m, at least 5s.');
  return ms;
}
