import { Gauge, Histogram, type Registry } from 'prom-client';
import type { Cache } from '../cache.ts';
import { within } from '../lifecycle.ts';
import { freshnessSeconds } from '../status/freshness-seconds.ts';
import type { AppStats } from '../status/read-stats.ts';
import { databaseGauges, freshness } from './definitions.ts';

/** Prometheus gives up after 10 s; it shall have this process' own figures even when Postgres hangs. */
const timeoutMs = 1000;
/** Older stats are not exported: no number is better than a wrong one. */
const oldestMs = 120_000;

type Values = readonly { readonly labels: Record<string, string>; readonly value: number }[];

/** Registers gauges of what Postgres knows of the mirror. A scrape never waits for Postgres longer than a second. */
export function exposeDatabase(registry: Registry, figures: Cache<readonly AppStats[]>): void {
  const registers = [registry];
  let asking: Promise<readonly AppStats[]> | undefined;

  /** One scrape collects many gauges; they wait together. */
  async function latest(): Promise<readonly AppStats[]> {
    asking ??= ask().finally(() => {
      asking = undefined;
    });
    return asking;
  }

  async function ask(): Promise<readonly AppStats[]> {
    await within(
      timeoutMs,
      figures.get().catch(() => undefined),
    );
    const known = figures.latest();
    return known === undefined || known.ageMs > oldestMs ? [] : known.value;
  }

  for (const [definition, report] of formatters) {
    new Gauge({
      ...definition,
      registers,
      async collect() {
        const apps = await latest();
        this.reset();
        for (const app of apps) for (const { labels, value } of report(app)) this.set(labels, value);
      },
    });
  }
  new Gauge({
    ...databaseGauges.figuresAge,
    registers,
    async collect() {
      await latest();
      this.reset();
      const known = figures.latest();
      if (known !== undefined) this.set(known.ageMs / 1000);
    },
  });
  const histogram = new Histogram({ ...freshness, buckets: [...freshness.buckets], registers: [] });
  registry.registerMetric(
    // A snapshot that is read, where prom-client knows only histograms that are observed.
    Object.assign(histogram, {
      get: async () => ({
        ...freshness,
        type: 'histogram',
        aggregator: 'sum',
        values: (await latest()).flatMap(formatFreshness),
      }),
    }),
  );
}

const one = (app: AppStats, value: number | undefined): Values =>
  value === undefined ? [] : [{ labels: { app: String(app.appId) }, value }];

const several = (app: AppStats, label: string, values: Readonly<Record<string, number>>): Values =>
  Object.entries(values).map(([name, value]) => ({
    labels: { app: String(app.appId), [label]: name },
    value,
  }));

interface Definition {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
}

/** What each gauge says of an app. */
const formatters: readonly (readonly [Definition, (app: AppStats) => Values])[] = [
  [databaseGauges.accounts, (app) => several(app, 'status', app.accounts)],
  [
    databaseGauges.backlog,
    (app) => several(app, 'reason', { never_polled: app.accounts.never_polled, overdue: app.overdue }),
  ],
  [databaseGauges.oldestAge, (app) => one(app, app.oldestAgeSeconds)],
  [databaseGauges.failing, (app) => one(app, app.failing)],
  [databaseGauges.heldAccounts, (app) => one(app, app.heldAccounts)],
  [databaseGauges.held, (app) => one(app, app.heldSeconds)],
  [databaseGauges.halted, (app) => one(app, app.haltedSeconds)],
  [databaseGauges.dispatched, (app) => one(app, app.dispatchedAgo)],
  [databaseGauges.accuracy, formatAccuracy],
  [databaseGauges.sourceAge, (app) => one(app, app.accountSource?.syncedAgo ?? undefined)],
  [databaseGauges.sourceFailing, (app) => one(app, app.accountSource && (app.accountSource.failingFor ?? 0))],
  [databaseGauges.named, (app) => one(app, app.accountSource?.named ?? undefined)],
  [databaseGauges.vanished, (app) => one(app, stillVanished(app))],
  [databaseGauges.missing, (app) => one(app, app.delay?.changesMissing)],
  [
    databaseGauges.delay,
    (app) =>
      app.delay === null
        ? []
        : several(app, 'schedule', {
            achieved: app.delay.meanSeconds,
            round_robin: app.delay.roundRobinSeconds,
          }),
  ],
  [databaseGauges.missingMonths, (app) => one(app, app.missingMonths)],
  [databaseGauges.compared, (app) => one(app, app.audits?.checked ?? 0)],
  [databaseGauges.wrong, (app) => one(app, app.audits?.wrongLately ?? 0)],
];

function stillVanished({ accountSource: source }: AppStats): number | undefined {
  return source?.vanished == null ? undefined : source.vanished - (source.removed ?? 0);
}

function formatAccuracy(app: AppStats): Values {
  const { checked = 0, stale = 0, wrong = 0 } = app.audits ?? {};
  if (checked === 0) return [];
  return several(app, 'measure', {
    right: (checked - wrong) / checked,
    in_sync: (checked - wrong - stale) / checked,
  });
}

function formatFreshness(app: AppStats) {
  const labels = { app: String(app.appId) };
  let younger = 0;
  const buckets = app.freshness.map((accounts, index) => {
    younger += accounts;
    return {
      metricName: `${freshness.name}_bucket`,
      labels: { ...labels, le: String(freshnessSeconds[index] ?? '+Inf') },
      value: younger,
    };
  });
  return [
    ...buckets,
    { metricName: `${freshness.name}_sum`, labels, value: app.ageSumSeconds },
    { metricName: `${freshness.name}_count`, labels, value: younger },
  ];
}
