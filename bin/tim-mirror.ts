#!/usr/bin/env node
import { createProgram, runProgram } from './program.ts';

// A connection that is still trying to reach a server must not keep the process alive.
process.exit(await runProgram(createProgram(), process.argv));
