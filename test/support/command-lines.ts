// Runs command lines one after the other in one process, for a process each would take a second to start. Standard
// input holds them as JSON; a line of its own, on both outputs, precedes what each has written.
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { createProgram, runProgram } from '../../bin/program.ts';

const lines = z.array(z.array(z.string())).parse(JSON.parse(await text(process.stdin)));
for (const [index, args] of lines.entries()) {
  for (const stream of [process.stdout, process.stderr]) stream.write(`\n--- command ${index}\n`);
  await runProgram(createProgram(), ['node', 'tim-mirror', ...args]);
}
process.exit(0);
