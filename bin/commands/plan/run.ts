import { readRateHistogram } from '../../../db/queries/rate-histogram.ts';
import type { Config } from '../../../src/config/config.ts';
import { defaultCallsPerSecond } from '../../../src/config/values.ts';
import type { Budget } from '../../../src/plan/expect-freshness.ts';
import { formatPlan } from '../../../src/plan/format-plan.ts';
import { type Plan, planAssumed, planObserved } from '../../../src/plan/plan-budget.ts';
import { observedClasses } from '../../../src/plan/rate-classes.ts';
import { jsonText } from '../../../src/terminal/json-text.ts';
import { count, plainPercent } from '../../../src/terminal/numbers.ts';
import { CommandError } from '../../command-error.ts';
import { readEnvironment, withApp } from '../../environment.ts';

interface PlanCommand {
  readonly accounts?: number;
  readonly rate?: number;
  readonly dormant: number;
  readonly changesPerDay: number;
  readonly steady?: boolean;
  readonly fromDatabase?: boolean;
  readonly app?: number;
  readonly json?: boolean;
}

/** `plan --accounts n …` or `plan --from-database` */
export async function planCommand(options: PlanCommand): Promise<void> {
  if (options.fromDatabase === true) await planFromDatabase(options);
  else planFromAssumptions(options);
}

function planFromAssumptions(options: PlanCommand): void {
  const { accounts, dormant, changesPerDay } = options;
  if (accounts === undefined) {
    throw new CommandError('Say how many accounts there are (--accounts), or take --from-database.', 2);
  }
  const { config } = readEnvironment([]);
  const budget = budgetOf(config, options.rate ?? defaultCallsPerSecond);
  const awakeDays = options.steady === true ? undefined : 20;
  const plan = planAssumed(budget, { accounts, dormantShare: dormant, changesPerDay, awakeDays });
  const spells =
    awakeDays === undefined
      ? 'no account ever changes its habits'
      : `an account stays lively for ${awakeDays} days`;
  print(options, plan, { accounts, dormantShare: dormant, changesPerDay, awakeDays: awakeDays ?? null }, [
    `Assumed, not measured: ${plainPercent(dormant)} of the accounts are dormant, the others change ${changesPerDay} times a`,
    `day on average, a few of them most of the time (lognormal, σ = 2); ${spells}.`,
    'A mirror that has run for some days knows better: tim-mirror plan --from-database.',
  ]);
}

async function planFromDatabase(options: PlanCommand): Promise<void> {
  const { app, config, histogram } = await withApp(options.app, async ({ db, app, environment }) => ({
    app,
    config: environment.config,
    histogram: await readRateHistogram(db, app.appId),
  }));
  const read = Math.round(histogram.seen.reduce((sum, { accounts }) => sum + accounts, 0));
  if (read === 0) {
    throw new CommandError(
      'No account has been read yet, so nothing is known of them; take --accounts instead.',
    );
  }
  const budget = budgetOf(config, options.rate ?? app.callsPerSecond);
  const plan = planObserved(budget, observedClasses(histogram));
  const { neverPolled } = histogram;
  print(options, plan, { appId: app.appId, accounts: read + neverPolled, neverPolled }, [
    'Rates of change are those the mirror has estimated from what it has seen in the last days.',
    ...(neverPolled > 0
      ? [`${count(neverPolled)} accounts were never polled; they are taken to be like the others.`]
      : []),
  ]);
}

function budgetOf({ poll }: Config, callsPerSecond: number): Budget {
  return {
    callsPerSecond,
    minIntervalSeconds: poll.minIntervalMs / 1000,
    maxIntervalSeconds: poll.maxIntervalMs / 1000,
  };
}

function print(
  options: PlanCommand,
  plan: Plan,
  basis: Readonly<Record<string, number | null>> & { readonly accounts: number },
  assumed: readonly string[],
): void {
  const text =
    options.json === true
      ? `${jsonText({ basis, ...plan.expected, compared: plan.compared })}\n`
      : formatPlan(plan, `${count(basis.accounts)} accounts`, assumed);
  process.stdout.write(text);
}
