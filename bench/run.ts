import { Command } from 'commander';
import { analystCommand } from './analyst/command.ts';
import { appsCommand } from './apps/command.ts';
import { backfillCommand } from './backfill/command.ts';
import { claimCommand } from './claim/command.ts';
import { engineCommand } from './engine/command.ts';
import { floodsCommand } from './floods/command.ts';
import { freshnessCommand } from './freshness/command.ts';
import { hintsCommand } from './hints/command.ts';
import { largeCommand } from './large/command.ts';
import { limiterCommand } from './limiter/command.ts';
import { redisCommand } from './redis/command.ts';
import { soakCommand } from './soak/command.ts';
import { stackCommand } from './stack/command.ts';
import { walCommand } from './wal/command.ts';

/** Every bench; each takes --quick and --json. */
const benches: readonly (() => Command)[] = [
  analystCommand,
  backfillCommand,
  claimCommand,
  engineCommand,
  floodsCommand,
  freshnessCommand,
  hintsCommand,
  appsCommand,
  largeCommand,
  limiterCommand,
  redisCommand,
  soakCommand,
  stackCommand,
  walCommand,
];

const program = new Command('bench').description('Measures what tim-mirror promises.');
for (const bench of benches) program.addCommand(bench());

try {
  if (process.argv.length > 2) await program.parseAsync();
  else program.outputHelp();
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 2;
}
