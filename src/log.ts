import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino';
import pretty from 'pino-pretty';
import { standardLog } from './log-stream.ts';
import { createScrubber, type Scrubber } from './scrubber.ts';
import { printableJson } from './terminal/printable.ts';

export type Logger = PinoLogger;

/** The levels of `LOG_LEVEL`, the quietest lines first. */
export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

interface LoggerOptions {
  readonly level: LogLevel;
  /** Every finished line passes through it, so a secret inside an error's cause is caught too. */
  readonly scrubber: Scrubber;
  /** Default: standard output, one JSON object a line; coloured text when that is a terminal. */
  readonly destination?: DestinationStream;
}

/** A logger that writes no secret known to the scrubber and no row value of Postgres. */
export function createLogger(options: LoggerOptions): Logger {
  const forPerson = options.destination === undefined && process.stdout.isTTY;
  const destination =
    options.destination ??
    (forPerson
      ? pretty({ sync: true, ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss.l' })
      : standardLog());
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError },
      hooks: {
        streamWrite: (line) => {
          const clean = printableJson(options.scrubber.scrubJson(line));
          return forPerson ? withoutOrders(clean) : clean;
        },
      },
    },
    destination,
  );
}

/**
 * A line of JSON whose texts, once they are read, show what would act on a terminal as `\\u001b`. Ends of lines stay:
 * a stack has many.
 */
export function withoutOrders(json: string): string {
  // Every escape is looked at, so that a backslash which is escaped itself begins none.
  return json.replace(/\\(?:u[0-9a-f]{4}|.)/gi, (found) =>
    /^\\(?:u(?:00[01].|007f|00[89].|20[026].|061c)|[bfr])$/i.test(found) ? `\\${found}` : found,
  );
}

/** A logger that says nothing. */
export const silentLogger = (): Logger => createLogger({ level: 'silent', scrubber: createScrubber() });

interface ErrorDescription {
  readonly type: string;
  readonly message: string;
  readonly code?: string | number;
  readonly stack?: string;
  readonly cause?: ErrorDescription;
}

/**
 * What of an error may be logged. A Postgres error's `detail`, `where` and `query` stay out: they hold row values.
 */
function describeError(error: unknown): ErrorDescription {
  if (!(error instanceof Error)) return { type: typeof error, message: String(error) };
  const code = 'code' in error && (typeof error.code === 'string' || typeof error.code === 'number');
  return {
    type: error.name,
    message: error.message,
    ...(code ? { code: error.code as string | number } : {}),
    ...(error.stack === undefined ? {} : { stack: error.stack }),
    ...(error.cause === undefined ? {} : { cause: describeError(error.cause) }),
  };
}
