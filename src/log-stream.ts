import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { type DestinationStream, pino } from 'pino';

/** The log of this process, one line at a time, as it goes to standard output. */
interface LogStream extends DestinationStream {
  /** Lines that were dropped because those before them were not read. */
  dropped(): number;
  /** Resolves with true when all lines are written, and with false when that takes longer than `ms`. */
  settle(ms: number): Promise<boolean>;
}

/** Characters that wait for a reader: some hundreds of lines. */
const mostWaiting = 2 ** 16;
let opened: LogStream | undefined;

/**
 * Standard output for the log. A reader that stops reading, such as a log driver behind a full pipe, blocks nothing:
 * 64 kB wait for it, and what comes after that is dropped and counted.
 */
export function standardLog(): LogStream {
  opened ??= openLogStream();
  return opened;
}

/** Lines of the log that were dropped in this process; 0 where it has none. */
export function droppedLogLines(): number {
  return opened?.dropped() ?? 0;
}

/** Waits until the log of this process is written, a second at most; false when it is not read. */
export async function settleLog(): Promise<boolean> {
  return opened === undefined || (await opened.settle(1000));
}

function openLogStream(): LogStream {
  const stream = pino.destination({ dest: 1, sync: false, maxLength: mostWaiting });
  let dropped = 0;
  let unsaid = 0;
  let waiting = false;
  let gone = false;
  stream.on('drop', () => {
    dropped += 1;
    unsaid += 1;
  });
  // A full disk: what waits is tried again with the next line. A reader that has gone: pino writes no more.
  stream.on('error', (error: NodeJS.ErrnoException) => {
    waiting = error.code !== 'EPIPE';
    gone ||= error.code === 'EPIPE';
  });
  stream.on('drain', () => {
    waiting = false;
    if (unsaid === 0) return;
    waiting = !gone;
    const lines = unsaid;
    unsaid = 0;
    stream.write(`${JSON.stringify({ level: 'warn', time: new Date(), lines, msg: lost })}\n`);
  });
  return {
    write(line) {
      waiting = !gone;
      stream.write(line);
    },
    dropped: () => dropped,
    async settle(ms) {
      if (!waiting) return true;
      const written = once(stream, 'drain').then(
        () => true,
        () => gone,
      );
      return Promise.race([written, sleep(ms, false)]);
    },
  };
}

const lost = 'the log was not read for a while, and lines were dropped';
