import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestDaemon } from '../support/daemon.ts';
import { populateWorld } from '../support/mirroring.ts';
import { createTestRedis, type TestRedis } from '../support/redis.ts';
import { waitFor } from '../support/wait-for.ts';
import { createWorld, testApp } from '../support/world.ts';

const token = 'the-admin-token-of-the-tests';
const app = String(testApp.appId);

let redis: TestRedis;

beforeAll(async () => {
  redis = await createTestRedis();
});

afterAll(async () => {
  await redis?.[Symbol.asyncDispose]();
});

describe.each([
  ['on Redis', (): string | undefined => redis.url],
  ['on Postgres', (): string | undefined => undefined],
] as const)('a daemon whose queues are %s', (_, redisUrl) => {
  test('serves its metrics, shows its queues to who has the token, and stays well while the vendor is down', async () => {
    await using world = await createWorld({ callsPerSecond: 200 });
    await populateWorld(world);
    const url = redisUrl();
    await using running = await startTestDaemon({
      vendor: world.vendor,
      databaseUrl: world.database.url,
      env: { ADMIN_TOKEN: token },
      ...(url === undefined ? {} : { redisUrl: url }),
    });
    const ask = (path: string, init: RequestInit = {}): Promise<Response> =>
      fetch(running.daemon.http.url + path, { headers: { authorization: `Bearer ${token}` }, ...init });
    await waitFor('first reads', () => world.vendor.stats().calls > 300, 120_000);

    // Bull Board shows what there is, and is read-only.
    expect((await fetch(`${running.daemon.http.url}/queues`, { redirect: 'manual' })).status).toBe(401);
    const board = await ask('/queues');
    expect(board.headers.get('content-security-policy')).toContain("default-src 'self'");
    const page = await board.text();
    expect(page).toContain('<base href="/queues/"');
    expect(page).not.toContain('https://');
    const { queues } = (await (await ask('/queues/api/queues')).json()) as { queues: { name: string }[] };
    expect(queues.map(({ name }) => name).toSorted()).toEqual([
      `dispatch-${app}`,
      'maintenance',
      `poll-${app}`,
    ]);
    expect((await ask(`/queues/api/queues/poll-${app}/pause`, { method: 'PUT' })).status).toBe(405);

    world.vendor.setFaults([{ kind: 'http_502', probability: 1 }]);
    await waitFor('failures', () => (world.vendor.stats().answers['http_502'] ?? 0) > 20, 120_000);
    for (const probe of ['/livez', '/readyz']) expect((await ask(probe)).status).toBe(200);
    world.vendor.setFaults([]);
    expect(await (await ask('/metrics')).text()).toMatch(
      /^tim_mirror_build_info\{version="\d.*node="v\d.*\} 1$/m,
    );

    const metrics = await waitFor('failures to be counted', async () => {
      const text = await (await fetch(`${running.daemon.http.url}/metrics`)).text();
      return sample(text, 'tim_mirror_failures_total', { app, class: 'transient' }) > 0 && text;
    });
    const value = (name: string, labels: Record<string, string>) => sample(metrics, name, labels);
    expect(value('tim_mirror_calls_total', { app, outcome: 'answered' })).toBeGreaterThan(200);
    expect(value('tim_mirror_calls_total', { app, outcome: 'transient' })).toBeGreaterThan(0);
    expect(value('tim_mirror_polls_total', { app, outcome: 'changed' })).toBeGreaterThan(100);
    expect(value('tim_mirror_changes_total', { app, kind: 'group_added' })).toBeGreaterThan(100);
    expect(value('tim_mirror_peak_calls_per_second', { app })).toBeGreaterThan(10);
    expect(value('tim_mirror_peak_calls_per_second', { app })).toBeLessThanOrEqual(193);
    expect(value('tim_mirror_limit_calls_per_second', { app })).toBe(190);
    for (const name of ['call_duration', 'token_wait', 'poll_duration', 'batch_duration']) {
      expect(value(`tim_mirror_${name}_seconds_count`, { app })).toBeGreaterThan(0);
    }
    expect(value('tim_mirror_loop_age_seconds', { loop: 'apps' })).toBeLessThan(30);
    expect(value('tim_mirror_unready_seconds', { part: 'postgres' })).toBe(0);
    expect(value('tim_mirror_accounts', { app, status: 'quarantined' })).toBe(0);
    expect(value('tim_mirror_backlog_accounts', { app, reason: 'overdue' })).toBeGreaterThanOrEqual(0);
    expect(value('tim_mirror_halted_seconds', { app })).toBe(0);
    expect(metrics).toContain('# TYPE tim_mirror_change_delay_seconds gauge');
    expect(value('tim_mirror_freshness_seconds_bucket', { app, le: '+Inf' })).toBe(
      value('tim_mirror_freshness_seconds_count', { app }),
    );
    expect(metrics).toContain('nodejs_eventloop_lag_seconds');
    expect(metrics).not.toContain('user-00');
    if (url !== undefined) expect(value('tim_mirror_redis_evicted_keys', {})).toBe(0);
  });
});

/** A value of a scrape; NaN where it is absent. */
function sample(text: string, name: string, labels: Record<string, string>): number {
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  const line = text
    .split('\n')
    .find(
      (candidate) =>
        (candidate.startsWith(`${name}{`) || candidate.startsWith(`${name} `)) &&
        wanted.every((part) => candidate.includes(part)),
    );
  return Number(line?.split(' ').at(-1) ?? Number.NaN);
}
