import { Command } from 'commander';
import { createProgress } from '../../src/terminal/progress.ts';
import { formatFigure, formatGoals, formatTable, type Goal, judgeGoals } from '../support/report.ts';
import { type AppsResult, type AppsScale, rate, runApps } from './run-apps.ts';

interface AppsOptions {
  readonly quick?: boolean;
  readonly json?: boolean;
}

const full: AppsScale = { accounts: 2000, warmUpMs: 20_000, ms: 60_000 };
const quick: AppsScale = { accounts: 2000, warmUpMs: 12_000, ms: 12_000 };

/** `bench apps`: many apps in one process, some of whose vendors fail, and whether the others get their rate. */
export function appsCommand(): Command {
  return new Command('apps')
    .description('ten apps in one process at 190 calls a second each; one hangs, one is refused')
    .option('--quick', '12 s of measuring instead of a minute')
    .option('--json', 'one JSON object as the last line')
    .action(apps);
}

async function apps(options: AppsOptions): Promise<void> {
  const scale = options.quick === true ? quick : full;
  const progress = createProgress('apps', 100);
  const result = await runApps(scale, (share, what) =>
    progress.update(Math.round(share * 100), what),
  ).finally(() => progress.stop());
  const goals = goalsOf(result);
  process.stdout.write(`${formatApps(scale, result)}\n\n${formatGoals(goals)}\n`);
  if (options.json === true)
    process.stdout.write(`${JSON.stringify({ bench: 'apps', rate, ...result, goals: judgeGoals(goals) })}\n`);
}

/** The worst of the apps that are well must have its rate. */
export function goalsOf({ perApp }: AppsResult): readonly Goal[] {
  const shares = perApp.filter(({ vendor }) => vendor === 'well').map(({ shareOfRate }) => shareOfRate);
  return [
    {
      figure: 'share of its rate, the worst of the others',
      value: Math.min(...shares),
      sense: '≥',
      limit: 0.98,
    },
  ];
}

function formatApps(scale: AppsScale, { perApp, busy, rssMb }: AppsResult): string {
  return [
    `10 apps in one process at ${rate} calls a second each, ${scale.ms / 1000} s`,
    formatTable([
      ['app', 'the vendor', 'calls/s, on arrival', 'share', 'most in 1 s'],
      ...perApp.map(({ appId, vendor, callsPerSecond, shareOfRate, worstSecond }) => [
        String(appId),
        vendor,
        callsPerSecond.toFixed(1),
        shareOfRate.toFixed(3),
        String(worstSecond),
      ]),
    ]),
    `processors kept busy: daemon ${formatFigure(busy.daemon)}, Postgres ${formatFigure(busy.postgres)}, vendors ${formatFigure(busy.vendors)}; the daemon takes ${formatFigure(rssMb)} MB`,
  ].join('\n');
}
