import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { waitFor } from '../support/wait-for.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The address that the simulator says it answers at. */
async function addressOf(child: ChildProcess): Promise<string> {
  let said = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    said += chunk;
  });
  let found: string | undefined;
  await waitFor('the simulator to say where it is', () => {
    found = /TIM_ENDPOINT=(http:\S+)/.exec(said)?.[1];
    return found !== undefined;
  });
  return found ?? '';
}

const answers = (origin: string) =>
  fetch(origin).then(
    () => true,
    () => false,
  );

const simulator = ['simulator', '--port', '0', '--accounts', '0'];

test('SIGTERM to npm ends what the script runs', async () => {
  const npm = spawn('npm', ['run', '-s', 'tim-mirror', '--', ...simulator], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const origin = await addressOf(npm);
  expect(await answers(origin)).toBe(true);
  npm.kill('SIGTERM');
  await waitFor('the simulator to end', async () => !(await answers(origin)));
});

test('SIGTERM to npx ends the command, which does first what it has to do', async () => {
  const cache = mkdtempSync(join(tmpdir(), 'tim-npx-'));
  const npx = spawn('npx', ['tim-mirror', ...simulator], {
    cwd: root,
    env: { ...process.env, npm_config_cache: cache, npm_config_offline: 'true' },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let said = '';
  npx.stdout.on('data', (chunk: Buffer) => {
    said += chunk;
  });
  const origin = await addressOf(npx);
  expect(await answers(origin)).toBe(true);
  npx.kill('SIGTERM');
  await waitFor('the simulator to end', async () => !(await answers(origin)));
  await waitFor('what it says at its end', () => said.includes('"calls":0'));
  rmSync(cache, { recursive: true, force: true });
});

test('a Node that is too old is named, with the one that is needed', () => {
  const pretend = 'Object.defineProperty(process, "versions", { value: { node: "20.20.2" } })';
  const options = ['--import', `data:text/javascript,${pretend}`];
  const { status, stderr } = spawnSync('node', [...options, join(root, 'bin/tim-mirror.js'), 'start'], {
    encoding: 'utf8',
  });
  expect({ status, stderr }).toEqual({
    status: 1,
    stderr:
      'tim-mirror: Node 24 or newer is needed, and this is Node 20.20.2; start it with npx tim-mirror, which takes the Node that npm ci has installed.\n',
  });
});
