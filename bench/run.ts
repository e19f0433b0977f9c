import { Command } from 'commander';
import { analystCommand } from './analyst/command.ts';
import { claimCommand } from './claim/command.ts';
import { engineCommand } from './engine/command.ts';
import { freshnessCommand } from './freshness/command.ts';
import { redisCommand } from './redis/command.ts';

/** Every bench; each takes --quick and --json. */
const benches: readonly (() => Command)[] = [
  analystCommand,
  claimCommand,
  engineCommand,
  freshnessCommand,
  redisCommand,
];

const program = new Command('bench').description('Measures what tim-mirror promises.');
for (const bench of benches) program.addCommand(bench());

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 2;
}
