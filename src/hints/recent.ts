/** What has been seen lately, in bounded memory: the older half is forgotten when the newer is full. */
export interface Recent {
  has(id: string): boolean;
  add(id: string): void;
}

/** Remembers at least the last `half` ids, and at most twice as many. */
export function createRecent(half: number): Recent {
  let newer = new Set<string>();
  let older = new Set<string>();
  return {
    has: (id) => newer.has(id) || older.has(id),
    add(id) {
      if (newer.size >= half) {
        older = newer;
        newer = new Set();
      }
      newer.add(id);
    },
  };
}
