import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parser } from '@prometheus-io/lezer-promql';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { readBuild } from '../../src/build.ts';
import { createCache } from '../../src/cache.ts';
import { createMetrics } from '../../src/metrics/create-metrics.ts';
import { exposeDatabase } from '../../src/metrics/database-gauges.ts';
import { exposeProcess } from '../../src/metrics/process-gauges.ts';
import { createResponseMemory } from '../../src/tencent/response-memory.ts';
import { k8sFolder } from './kustomizations.ts';

interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: { readonly summary: string; readonly runbook: string };
}

const component = (file: string) => readFileSync(join(k8sFolder, 'components/monitoring', file), 'utf8');
const alerts: readonly Alert[] = parse(component('prometheus-rule.yaml')).spec.groups[0].rules;
const panels: readonly { title: string; targets: readonly { expr: string }[] }[] = JSON.parse(
  component('dashboard.json'),
).panels;

/** The names under which a daemon reports its metrics. */
function knownNames(): ReadonlySet<string> {
  const { registry } = createMetrics();
  exposeDatabase(registry, createCache({ keepMs: 0, read: async () => [] }));
  exposeProcess(registry, {
    build: readBuild({}),
    loopAges: () => new Map(),
    unreadyFor: () => new Map(),
    pool: { totalCount: 0, idleCount: 0, waitingCount: 0 },
    answers: createResponseMemory().stats,
    redisEvicted: () => undefined,
  });
  return new Set(
    registry
      .getMetricsAsArray()
      .flatMap(({ name }) => [name, `${name}_bucket`, `${name}_sum`, `${name}_count`]),
  );
}

/** The metrics that a query names; throws where it is no PromQL. */
function metricsOf(query: string): readonly string[] {
  // Grafana puts these in.
  const expression = query.replaceAll('$__rate_interval', '1m').replaceAll('$app', '.+');
  const names: string[] = [];
  parser.parse(expression).iterate({
    enter(node) {
      if (node.type.isError) throw new Error(`no PromQL at ${node.from}: ${expression}`);
      if (node.name === 'VectorSelector') {
        names.push(/^[a-zA-Z_:][\w:]*/.exec(expression.slice(node.from, node.to))?.[0] ?? '');
      }
    },
  });
  return names;
}

test.each(alerts.map((rule) => [rule.alert, rule] as const))(
  'alert %s asks for metrics that there are, and has its line in the runbook',
  (name, rule) => {
    const names = metricsOf(rule.expr);
    expect(names.length).toBeGreaterThan(0);
    for (const metric of names) expect(knownNames()).toContain(metric);
    expect(rule.annotations.runbook).toBe(`docs/operations.md#${name.toLowerCase()}`);
    expect(readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8')).toContain(
      `#### ${name}\n`,
    );
  },
);

test('there is an alert for all that an operator has to hear of', () => {
  expect(alerts.map(({ alert }) => alert)).toEqual(
    expect.arrayContaining([
      'TimMirrorNoProgress',
      'TimMirrorFreshnessOverTarget',
      'TimMirrorHalted',
      'TimMirrorRemovalsHeld',
      'TimMirrorRateLimited',
      'TimMirrorQuarantineGrowing',
      'TimMirrorWritesRefused',
      'TimMirrorRedisEvicting',
      'TimMirrorSchemaMismatch',
    ]),
  );
});

test('the dashboard asks for metrics that there are, and shows every one of ours', () => {
  const asked = new Set(panels.flatMap(({ targets }) => targets.flatMap(({ expr }) => metricsOf(expr))));
  for (const metric of asked) expect(knownNames()).toContain(metric);
  const shown = [...asked].map((name) => name.replace(/_bucket$/, ''));
  const { registry } = createMetrics();
  exposeDatabase(registry, createCache({ keepMs: 0, read: async () => [] }));
  for (const { name } of registry.getMetricsAsArray()) {
    if (name.startsWith('tim_mirror_')) expect(shown).toContain(name);
  }
});

test('a query that is none is noticed', () => {
  expect(() => metricsOf('sum by (app (tim_mirror_calls_total)')).toThrow('no PromQL');
});
