import { type ChildProcess, spawn } from 'node:child_process';
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

test('SIGTERM to npm ends what the script runs', async () => {
  const npm = spawn('npm', ['run', '-s', 'tim-mirror', '--', 'simulator', '--port', '0', '--accounts', '0'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const origin = await addressOf(npm);
  expect(await answers(origin)).toBe(true);
  npm.kill('SIGTERM');
  await waitFor('the simulator to end', async () => !(await answers(origin)));
});
