// Runs the command lines that its parent sends, one after the other, each with an environment of its own: starting a
// process for each would take most of the time of a test. A mark on both outputs follows what each has written.
import { z } from 'zod';
import { createProgram, runProgram } from '../../bin/program.ts';
import { settleLog } from '../../src/log-stream.ts';

const request = z.object({
  args: z.array(z.string()),
  env: z.record(z.string(), z.string()),
  mark: z.string(),
});

process.on('message', async (message) => {
  const { args, env, mark } = request.parse(message);
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, env);
  const code = await runProgram(createProgram(), ['node', 'tim-mirror', ...args]);
  await settleLog();
  for (const stream of [process.stdout, process.stderr]) stream.write(mark);
  process.send?.({ code });
});
process.on('disconnect', () => process.exit(0));
