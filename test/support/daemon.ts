import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseConfig } from '../../src/config/config.ts';
import { createLogger } from '../../src/log.ts';
import { createScrubber } from '../../src/scrubber.ts';
import type { Simulator } from '../../src/simulator/server.ts';
import { type Daemon, startDaemon } from '../../workers/start.ts';
import { collectLog } from './collect-log.ts';
import { testApp } from './world.ts';

export interface DaemonOptions {
  readonly vendor: Simulator;
  readonly databaseUrl: string;
  readonly redisUrl?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Files that variables name, by path. */
  readonly files?: Readonly<Record<string, string>>;
  readonly confirmRemovalAfterMs?: number;
}

/** The environment of a daemon under test. Accounts are polled every three seconds. */
export function daemonEnvironment(options: DaemonOptions): Record<string, string> {
  return {
    PATH: process.env['PATH'] ?? '',
    TIM_SDK_APP_ID: String(testApp.appId),
    TIM_SECRET_KEY: testApp.secretKey,
    TIM_ENDPOINT: options.vendor.origin,
    DATABASE_URL: options.databaseUrl,
    REDIS_URL: options.redisUrl ?? '',
    HTTP_PORT: '0',
    POLL_MIN_INTERVAL: '3s',
    POLL_MAX_INTERVAL: '3s',
    LOG_LEVEL: 'debug',
    ...options.env,
  };
}

/** A daemon in this process. */
export interface TestDaemon extends AsyncDisposable {
  readonly daemon: Daemon;
  readonly logLines: () => readonly string[];
}

/** Starts a daemon in this process, with removals confirmed after a second instead of a minute, by default. */
export async function startTestDaemon(options: DaemonOptions): Promise<TestDaemon> {
  const { confirmRemovalAfterMs = 1000 } = options;
  const { destination, text } = collectLog();
  const config = parseConfig(
    {
      env: daemonEnvironment(options),
      readFile(path) {
        const text = options.files?.[path];
        if (text === undefined) throw new Error('no such file');
        return text;
      },
    },
    ['app', 'credentials', 'database'],
  );
  const scrubber = createScrubber();
  const log = createLogger({ level: config.logLevel, scrubber, destination });
  const daemon = await startDaemon({ config, roles: ['all'], log, scrubber, confirmRemovalAfterMs });
  return {
    daemon,
    logLines: () =>
      text()
        .split('\n')
        .filter((line) => line !== ''),
    [Symbol.asyncDispose]: () => daemon.stop(),
  };
}

const commandLine = fileURLToPath(new URL('../../bin/tim-mirror.ts', import.meta.url));

/** A command line in a process of its own. */
export interface Command {
  readonly child: ChildProcess;
  /** All that was written so far, standard output and standard error together. */
  readonly said: () => string;
  readonly ended: Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>;
}

export interface CommandOptions {
  /** Standard input. */
  readonly input?: string;
  /** Another program than the command line. */
  readonly program?: string;
  /** What starts Node, such as a shell with a limit. */
  readonly through?: readonly string[];
}

/** Runs `tim-mirror` with these arguments and nothing but this environment. */
export function runCommand(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  { input = '', program = commandLine, through = [] }: CommandOptions = {},
): Command {
  const [starter = 'node', ...line] = [...through, 'node', program, ...args];
  const child = spawn(starter, line, {
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.end(input);
  let stdout = '';
  let stderr = '';
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk;
    said += chunk;
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk;
    said += chunk;
  });
  return {
    child,
    said: () => said,
    ended: new Promise((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr }))),
  };
}
