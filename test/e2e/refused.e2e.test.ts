import { describe, expect, test } from 'vitest';
import { decodeUserSig } from '../../src/simulator/user-sig-check.ts';
import { readStatus } from '../../src/status/read-status.ts';
import { daemonEnvironment, runCommand, startTestDaemon } from '../support/daemon.ts';
import { populateWorld } from '../support/mirroring.ts';
import { waitFor } from '../support/wait-for.ts';
import { createWorld, testApp } from '../support/world.ts';

describe('wrong credentials', () => {
  test('stop polling after a handful of calls, are logged once, and are forgotten once they are right', async () => {
    await using world = await createWorld({ callsPerSecond: 200 });
    const { vendor, db } = world;
    const ids = await populateWorld(world);
    vendor.setSecretKey('not the key the daemon has');
    await using running = await startTestDaemon({ vendor, databaseUrl: world.database.url });
    const halted = await waitFor('the halt', async () => {
      const [app] = (await readStatus(db)).apps;
      return app?.state === 'halted' ? app : undefined;
    });
    expect(halted.halt).toMatchObject({ kind: 'credentials', code: 70003 });
    expect(halted.halt?.remedy).toContain('TIM_SECRET_KEY');
    expect(halted.halt?.message).not.toMatch(/eJ/);
    // Over the next probe, which is refused too.
    const probed = () => db.selectFrom('mirror.app').select('probe_count').executeTakeFirstOrThrow();
    await waitFor('a probe', async () => (await probed()).probe_count > 0, 30_000);
    expect(vendor.stats().calls).toBeGreaterThan(0);
    expect(vendor.stats().calls).toBeLessThanOrEqual(20);

    const errors = running.logLines().filter((line) => line.includes('"level":"error"'));
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatch(/"msg":"app halted: the vendor refuses it"/);
    expect(errors[0]).toContain('"remedy":');

    vendor.setSecretKey(testApp.secretKey);
    await waitFor(
      'every account to be read',
      async () => {
        const [app] = (await readStatus(db)).apps;
        return app?.state === 'polling' && app.accounts.active === ids.length;
      },
      60_000,
    );
    expect(running.logLines().some((line) => line.includes('app goes on'))).toBe(true);
    const { rows } = { rows: (await readStatus(db)).apps[0]?.accounts };
    expect(rows).toMatchObject({ failing: 0, quarantined: 0 });
  });
});

describe('secrets', () => {
  test('are in no log line, error or status, at any level, whatever the vendor does', async () => {
    await using world = await createWorld({ callsPerSecond: 200 });
    const { vendor } = world;
    await populateWorld(world);
    const env = daemonEnvironment({ vendor, databaseUrl: world.database.url, env: { LOG_LEVEL: 'trace' } });
    const daemon = runCommand(['start'], env);
    let output = '';
    const statusNow = async () => {
      for (const args of [['status'], ['status', '--json']]) {
        const { stdout, stderr } = await runCommand(args, env).ended;
        output += stdout + stderr;
      }
    };
    const calls = () => vendor.stats().calls;
    for (const kind of ['http_502', 'reset', 'html', 'truncated', 30006, 77_777, 30001] as const) {
      vendor.setFaults([{ kind, probability: 0.5 }]);
      const before = vendor.stats().answers[String(kind)] ?? 0;
      await waitFor(`answers with ${kind}`, () => (vendor.stats().answers[String(kind)] ?? 0) > before + 5);
    }
    await statusNow();
    vendor.setFaults([]);
    vendor.setSecretKey('another');
    const refused = calls();
    await waitFor('a refusal', () => calls() > refused);
    await waitFor('the halt', () => daemon.said().includes('app halted'));
    await statusNow();
    const fetched = await runCommand(['fetch', 'user-00001'], env).ended;
    output += fetched.stdout + fetched.stderr;
    daemon.child.kill('SIGTERM');
    const { code } = await daemon.ended;
    output += daemon.said();

    expect(code).toBe(0);
    expect(output).toContain('HALTED');
    expect(output).not.toContain(testApp.secretKey);
    const password = new URL(world.database.url).password;
    if (password !== '') expect(output).not.toContain(password);
    const signatures = output.match(/eJ[A-Za-z0-9*_-]{30,}/g) ?? [];
    expect(signatures.filter((text) => decodeUserSig(text) !== undefined)).toEqual([]);
    expect(output).not.toMatch(/usersig=(?!\[removed\])/);
  });
});
