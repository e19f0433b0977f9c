import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '../../../db/client.ts';
import {
  type ChangeFilter,
  type ChangeLine,
  type FeedPosition,
  findFeedStart,
  readFeed,
} from '../../../db/queries/changes.ts';
import { second } from '../../../src/status/format-groups.ts';
import { formatChange } from '../../../src/terminal/change-line.ts';
import { jsonText } from '../../../src/terminal/json-text.ts';
import { printable } from '../../../src/terminal/printable.ts';
import { withMirroredApp } from '../../environment.ts';
import { onFirstSignal } from '../../signals.ts';

interface ChangesCommand {
  readonly app?: number;
  readonly account?: string;
  /** Milliseconds. */
  readonly since: number;
  readonly follow?: boolean;
  readonly json?: boolean;
}

const pageSize = 1000;
const lookEveryMs = 1000;

/** `changes [--since 1h] [--account id] [--follow] [--json]`: Ctrl-C, or a reader who has gone, ends it with exit code 0. */
export async function changesCommand(options: ChangesCommand): Promise<void> {
  const ended = endOfReading();
  await withMirroredApp(options.app, async (db, appId) => {
    for await (const lines of pagesOf(db, { appId, accountId: options.account }, options, ended)) {
      const text = lines.map((line) => (options.json === true ? `${jsonText(line)}\n` : report(line)));
      // A slow reader is waited for, so that a long feed is never all in memory.
      if (!process.stdout.write(text.join('')) && !ended.aborted)
        await once(process.stdout, 'drain', { signal: ended }).catch(() => undefined);
    }
  });
}

/**
 * The feed from `since` on, page by page: to its end, or on and on. A follower sees a change once all transactions
 * before it are over, so that none is missed.
 */
async function* pagesOf(
  db: Database,
  filter: ChangeFilter,
  options: ChangesCommand,
  ended: AbortSignal,
): AsyncGenerator<readonly ChangeLine[]> {
  const follow = options.follow === true;
  const start = await findFeedStart(db, filter, options.since / 1000);
  let after: FeedPosition = start;
  while (!ended.aborted) {
    const lines = await readFeed(db, filter, { start, after, limit: pageSize, finished: follow });
    const last = lines.at(-1);
    if (last !== undefined) {
      after = { txId: last.txId, changeId: last.changeId };
      yield lines;
    }
    if (lines.length === pageSize) continue;
    if (!follow) return;
    await sleep(lookEveryMs, undefined, { signal: ended }).catch(() => undefined);
  }
}

function endOfReading(): AbortSignal {
  const end = new AbortController();
  onFirstSignal(() => {
    end.abort();
  });
  // `tim-mirror changes | head` closes the pipe.
  process.stdout.on('error', () => end.abort());
  return end.signal;
}

function report(line: ChangeLine): string {
  return `${second(line.observedAt)}  ${printable(line.accountId).padEnd(20)}  ${formatChange(line)}\n`;
}
