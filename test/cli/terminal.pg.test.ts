import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { daemonEnvironment, runCommand } from '../support/daemon.ts';
import { waitFor } from '../support/wait-for.ts';
import { createWorld, type World } from '../support/world.ts';

// `script` gives a program a terminal of its own.
const hasScript = spawnSync('script', ['-qec', 'true', '/dev/null'], { stdio: 'ignore' }).status === 0;
const commandLine = fileURLToPath(new URL('../../bin/tim-mirror.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'tim-terminal-'));
const list = join(folder, 'accounts.txt');

let world: World;
let env: Record<string, string>;

beforeAll(async () => {
  world = await createWorld();
  env = daemonEnvironment({ vendor: world.vendor, databaseUrl: world.database.url });
  writeFileSync(list, Array.from({ length: 30_000 }, (_, index) => `user-${index}`).join('\n'));
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

/** Runs the command line on a terminal. */
function onTerminal(args: string) {
  const child = spawn('script', ['-qec', `node ${commandLine} ${args}`, '/dev/null'], {
    env: { ...env, TERM: 'xterm', COLUMNS: '120' },
    stdio: ['pipe', 'pipe', 'ignore'],
    detached: true,
  });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk;
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  return { child, said: () => said, ended };
}

describe.skipIf(!hasScript)('on a terminal', () => {
  test('an import shows a bar with rate and time left', async () => {
    const shown = onTerminal(`accounts import ${list}`);
    await shown.ended;
    expect(shown.said()).toMatch(/accounts .*\d+% \| [\d,]+ accounts, [\d,]+\/s \| \S+ left/);
    expect(shown.said()).toContain('30,000 accounts enrolled');
  });

  test('status --watch draws itself again in place', async () => {
    const shown = onTerminal('status --watch');
    const drawn = () => shown.said().split('\u001b[H\u001b[2J').length - 1;
    await waitFor('two drawings', () => drawn() >= 2);
    process.kill(-(shown.child.pid ?? 0), 'SIGKILL');
    await shown.ended;
    expect(shown.said()).toContain('app 1400000000');
  });
});

test('elsewhere an import prints how far it is in plain lines, one in ten seconds at most', async () => {
  const { stderr } = await runCommand(['accounts', 'import', list], env).ended;
  // A short one has none.
  expect(stderr).toMatch(/^(accounts \| \d+% \| [\d,]+ accounts, [\d,.]+\/s\n)*$/);
  expect(stderr).not.toContain('\u001b[');
});
