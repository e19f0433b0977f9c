#!/usr/bin/env -S node --max-semi-space-size=2
// Garbage of the young is collected in pauses of 2 ms instead of 24: longer ones cost slots (`bench apps`).
import { keepCompiled } from './compile-cache.ts';
import { obeySignals } from './obey-signals.ts';

obeySignals();
keepCompiled();
const { createProgram, runProgram } = await import('./program.ts');
const { settleLog } = await import('../src/log-stream.ts');

const exitCode = await runProgram(createProgram(), process.argv);
// A write to a pipe without a reader can't be cancelled, and Node would wait for it.
if (!(await settleLog())) process.kill(process.pid, 'SIGKILL');
// A connection that is still trying to reach a server must not keep the process alive.
process.exit(exitCode);
