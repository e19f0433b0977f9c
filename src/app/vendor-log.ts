import type { Logger } from '../log.ts';

/** Says when most calls to the vendor begin to fail, and when most are answered again; not each failure. */
interface VendorLog {
  failed(reason: { readonly code: number; readonly message: string }): void;
  answered(): void;
}

const windowMs = 60_000;
const bucketMs = 5000;
/** So few failures may be chance, or one account that is polled again and again. */
const leastFailures = 10;

interface Bucket {
  readonly at: number;
  failed: number;
  answered: number;
}

/** A log for one app, which looks at the polls of the last minute. `now` is monotonic, in milliseconds. */
export function createVendorLog(log: Logger, now: () => number = () => performance.now()): VendorLog {
  const buckets: Bucket[] = [];
  let episode: { readonly since: number; failed: number } | undefined;

  function bucketNow(): Bucket {
    const at = Math.floor(now() / bucketMs) * bucketMs;
    while (buckets[0] !== undefined && buckets[0].at <= at - windowMs) buckets.shift();
    const last = buckets.at(-1);
    if (last?.at === at) return last;
    const fresh = { at, failed: 0, answered: 0 };
    buckets.push(fresh);
    return fresh;
  }

  const sumOf = (count: 'failed' | 'answered') => buckets.reduce((sum, bucket) => sum + bucket[count], 0);

  return {
    failed({ code, message }) {
      bucketNow().failed += 1;
      if (episode !== undefined) {
        episode.failed += 1;
        return;
      }
      const [failed, answered] = [sumOf('failed'), sumOf('answered')];
      if (failed < leastFailures || failed <= answered) return;
      episode = { since: now(), failed };
      log.warn({ failed, answered, code, reason: message }, 'most calls to the vendor fail');
    },

    answered() {
      bucketNow().answered += 1;
      if (episode === undefined || sumOf('answered') < 2 * sumOf('failed')) return;
      const seconds = Math.round((now() - episode.since) / 1000);
      log.info({ failed: episode.failed, seconds }, 'the vendor answers again');
      episode = undefined;
    },
  };
}
