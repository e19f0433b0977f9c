import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { z } from 'zod';
import { runCommand } from './daemon.ts';

/** What came of a command. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const program = new URL('./command-server.ts', import.meta.url);
/** Processes of this test file that wait for a command. */
const idle: ChildProcess[] = [];
const reply = z.object({ code: z.number() });

/**
 * Runs `tim-mirror` with these arguments and this environment to its end, in a process that has run others before. Where
 * the process itself matters (its signals, its input, its exit), or with REAL_COMMANDS=1, `runCommand` starts one for it.
 */
export async function runWarm(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  input = '',
): Promise<Ended> {
  if (input !== '' || process.env['REAL_COMMANDS'] === '1') return runCommand(args, env, { input }).ended;
  const server =
    idle.pop() ?? fork(program, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], execArgv: [], env: {} });
  const mark = `\n${randomUUID()}\n`;
  const [stdout, stderr] = [collect(server.stdout, mark), collect(server.stderr, mark)];
  const over = new AbortController();
  // One of the two is never heard.
  const first = Promise.any([
    once(server, 'message', over).then(([message]) => reply.parse(message).code),
    once(server, 'exit', over).then(([code]) => z.number().nullable().parse(code)),
  ]);
  server.send({ args, env: { PATH: process.env['PATH'] ?? '', ...env }, mark });
  const said = { code: await first, stdout: await stdout, stderr: await stderr };
  over.abort();
  if (server.connected) idle.push(server);
  return said;
}

/** What a stream brings until the mark, or until it ends. */
function collect(stream: NodeJS.ReadableStream | null, mark: string): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const end = () => {
      stream?.off('data', add).off('end', end);
      resolve(text.endsWith(mark) ? text.slice(0, -mark.length) : text);
    };
    const add = (chunk: Buffer) => {
      text += chunk;
      if (text.endsWith(mark)) end();
    };
    stream?.on('data', add).on('end', end);
  });
}
