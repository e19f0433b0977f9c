import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { populate } from '../../src/simulator/population.ts';
import { createRandom } from '../../src/simulator/random.ts';
import { startSimulator } from '../../src/simulator/server.ts';
import { type Command, runCommand } from '../support/daemon.ts';
import { waitFor } from '../support/wait-for.ts';
import { testApp } from '../support/world.ts';

const program = fileURLToPath(new URL('../../dev/demo.ts', import.meta.url));
const demo = (args: string[], env: Record<string, string> = {}): Command =>
  runCommand(args, env, { program });

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('the demo', () => {
  test('mirrors 500 simulated accounts and ends by itself, also when two run at once', async () => {
    const ends = await Promise.all([demo(['--for', '16s']).ended, demo(['--for', '16s']).ended]);
    for (const { code, stdout, stderr } of ends) {
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toContain('Where to look');
      expect(stdout).toContain('500 of 500 accounts read');
      expect(stdout).toContain('The mirror holds exactly what the vendor holds, row for row.');
    }
  });

  test('killed, and started again in the same folder, ends what was left and mirrors a real app', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tim-demo-test-'));
    // As root the server runs as another user, who must be able to enter.
    chmodSync(folder, 0o755);
    const data = join(folder, 'data');
    const random = createRandom(1);
    const vendor = await startSimulator({ ...testApp }, random);
    try {
      const killed = demo(['--data', data]);
      await waitFor(
        'the demo to mirror',
        () => /[1-9]\d*\/500 accounts read/.test(killed.said()) || undefined,
      );
      const left = JSON.parse(readFileSync(join(data, 'server.json'), 'utf8')).pid;
      const refused = await demo(['--data', data]).ended;
      expect(refused.code).toBe(1);
      expect(refused.stderr).toMatch(/is in use by another process/);
      killed.child.kill('SIGKILL');
      await killed.ended;
      expect(isAlive(left)).toBe(true);

      const list = join(folder, 'accounts.txt');
      writeFileSync(list, `${populate(vendor.truth, 30, random).join('\n')}\n`);
      const own = {
        TIM_SDK_APP_ID: String(testApp.appId + 1),
        TIM_SECRET_KEY: testApp.secretKey,
        TIM_ENDPOINT: vendor.origin,
      };
      // The vendor knows only the other app: the demo says so instead of mirroring nothing in silence.
      const strange = await demo(['--data', data, '--accounts', list, '--for', '25s'], own).ended;
      expect(strange.code).toBe(0);
      expect(strange.stdout).toMatch(/30 accounts enrolled/);
      expect(strange.stdout).toMatch(/HALTED.*70020/);
      expect(isAlive(left)).toBe(false);

      const env = { ...own, TIM_SDK_APP_ID: String(testApp.appId) };
      // What the killed one had claimed is polled once its leases end.
      const mirroring = demo(['--data', data, '--accounts', list], env);
      await waitFor('30 accounts to be read', () => (vendor.stats().answers['0'] ?? 0) >= 30, 60_000);
      mirroring.child.kill('SIGINT');
      const mirrored = await mirroring.ended;
      expect(mirrored.code).toBe(0);
      expect(mirrored.stdout).toMatch(/Summary\n.*accounts read/);
      expect(mirrored.stdout).toContain(`The database stays in ${data}`);
    } finally {
      await vendor.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('ended by two Ctrl-C, one upon the other, leaves nothing behind', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tim-demo-test-'));
    chmodSync(folder, 0o755);
    try {
      const running = demo([], { TMPDIR: folder });
      await waitFor('the demo to mirror', () => running.said().includes('Where to look'), 60_000);
      running.child.kill('SIGINT');
      await waitFor('the summary', () => running.said().includes('Summary'));
      running.child.kill('SIGINT');
      const { code, stdout } = await running.ended;
      expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining('Summary') });
      expect(readdirSync(folder).filter((name) => name.startsWith('tim-mirror-'))).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test.each([
    [['--for', 'ever'], {}, /Write it as 20s/],
    [['--accounts', 'x'], {}, /needs your own app/],
    [[], { TIM_SDK_APP_ID: '1400000000', TIM_SECRET_KEY: 'abcd' }, /name a list of its accounts/],
  ])('called wrongly (%j) says so and exits 2', async (args, env, sentence) => {
    const { code, stderr } = await demo(args, env).ended;
    expect(code).toBe(2);
    expect(stderr).toMatch(sentence);
  });
});
