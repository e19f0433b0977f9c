import { setTimeout as sleep } from 'node:timers/promises';

/** Looks until `look` gives something other than undefined or false; fails with what was waited for. */
export async function waitFor<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 30_000,
): Promise<T> {
  for (const start = performance.now(); ; ) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
    if (performance.now() - start > timeoutMs) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`);
    await sleep(50);
  }
}
