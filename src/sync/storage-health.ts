/** Recent write successes and failures of one app, as this process sees them. */
export interface StorageHealth {
  /** A response was not written. Returns the account's consecutive refusals, counting only those between which another write succeeded. */
  refused(accountKey: number): number;
  /** An account's answer was written to the mirror. */
  written(accountKey: number): void;
  /** An account was read, and there was nothing to write to the mirror. */
  unchanged(accountKey: number): void;
  /** What came of some polls was recorded: the database takes writes. */
  recorded(): void;
  /** Whether answers of many accounts are refused, so that a refusal says nothing of the account it hit. */
  isUnhealthy(): boolean;
}

/** How many writes to the mirror count, and for how long; unchanged accounts write nothing, and do not count. */
const remembered = 100;
const rememberedMs = 600_000;
/** Fewer accounts than this may each be impossible to store; more of them at once is the database. */
const unhealthyFrom = 5;
/** Accounts refused lately; while the database is away there are more, and they need not be counted. */
const mostCounted = 1000;

interface Write {
  readonly accountKey: number;
  readonly refused: boolean;
  readonly at: number;
}

/** Looks at the last hundred writes of ten minutes. `now` is monotonic, in milliseconds. */
export function createStorageHealth(now: () => number = () => performance.now()): StorageHealth {
  const last: Write[] = [];
  /** Of each account: refusals in a row, and how many writes there had been at the last one that counted. */
  const rows = new Map<number, { times: number; writes: number }>();
  let writes = 0;

  function note(accountKey: number, refused: boolean): void {
    last.push({ accountKey, refused, at: now() });
    if (last.length > remembered) last.shift();
  }

  return {
    refused(accountKey) {
      note(accountKey, true);
      const row = rows.get(accountKey);
      if (row === undefined) {
        const [oldest] = rows.keys();
        if (rows.size >= mostCounted && oldest !== undefined) rows.delete(oldest);
        rows.set(accountKey, { times: 1, writes });
        return 1;
      }
      if (writes > row.writes) row.times += 1;
      row.writes = writes;
      return row.times;
    },

    written(accountKey) {
      note(accountKey, false);
      rows.delete(accountKey);
      writes += 1;
    },

    unchanged: (accountKey) => void rows.delete(accountKey),

    recorded() {
      writes += 1;
    },

    isUnhealthy() {
      const since = now() - rememberedMs;
      const refused = last.filter((write) => write.refused && write.at > since);
      return new Set(refused.map(({ accountKey }) => accountKey)).size >= unhealthyFrom;
    },
  };
}
