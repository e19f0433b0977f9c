import type { Refusal } from '../../db/storage-errors.ts';
import type { Logger } from '../log.ts';

/** Says when the database begins to refuse writes, and when it takes them again; not each refusal. */
interface RefusalLog {
  refused(refusal: Refusal, results: number): void;
  /** Something was written. */
  written(): void;
}

/** After this long without a refusal writes count as accepted again. */
const quietMs = 60_000;

/** A log for one app. `now` is monotonic, in milliseconds. */
export function createRefusalLog(log: Logger, now: () => number = () => performance.now()): RefusalLog {
  let episode: { readonly since: number; last: number; refused: number } | undefined;
  return {
    refused({ class: sqlstate, reason }, results) {
      if (episode === undefined) {
        episode = { since: now(), last: now(), refused: 0 };
        log.warn(
          { sqlstate, reason },
          'postgres refuses writes; their accounts are tried again, and status counts them',
        );
      }
      episode.last = now();
      episode.refused += results;
    },

    written() {
      if (episode === undefined || now() - episode.last < quietMs) return;
      const seconds = Math.round((episode.last - episode.since) / 1000);
      log.info({ refused: episode.refused, seconds }, 'postgres has refused no write for a minute');
      episode = undefined;
    },
  };
}
