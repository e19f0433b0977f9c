import { Command } from 'commander';
import { sweepAbandonedFolders } from '../../dev/local-servers/owned-folder.ts';
import { createProgress } from '../../src/terminal/progress.ts';
import { formatFigure, formatTable } from '../support/report.ts';
import { measureRedis, type RedisFigures } from './measure.ts';

const appCounts = [1, 10, 50] as const;

/** `bench redis`: what Redis holds for this many apps at full budget, and how many clients it has. */
export function redisCommand(): Command {
  return new Command('redis')
    .description(
      'bytes and clients of Redis for 1, 10 and 50 apps whose queues are full, and the bucket’s script',
    )
    .option('--quick', '1 and 10 apps')
    .option('--json', 'one JSON object as the last line')
    .action(redis);
}

async function redis(options: { readonly quick?: boolean; readonly json?: boolean }): Promise<void> {
  const counts = options.quick === true ? appCounts.slice(0, 2) : appCounts;
  await sweepAbandonedFolders();
  const progress = createProgress('redis', counts.length);
  const figures: RedisFigures[] = [];
  try {
    for (const apps of counts) {
      figures.push(await measureRedis(apps));
      progress.update(figures.length, `${apps} apps`);
    }
  } finally {
    progress.stop();
  }
  const rows = figures.map(({ apps, keyBytes, usedBytes, clients, scriptMicroseconds }) => [
    String(apps),
    formatFigure(keyBytes / 1024),
    formatFigure(usedBytes / 1024 / 1024),
    String(clients),
    formatFigure(scriptMicroseconds),
  ]);
  process.stdout.write(
    `${formatTable([['apps', 'kB of keys', 'MB of Redis in all', 'clients of a process', 'µs a reservation'], ...rows])}\n`,
  );
  if (options.json === true) process.stdout.write(`${JSON.stringify({ bench: 'redis', figures })}\n`);
}
