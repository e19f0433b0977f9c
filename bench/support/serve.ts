import { z } from 'zod';

const request = z.object({ id: z.number(), order: z.string(), value: z.unknown().optional() });

/** Memory and processor time of this process, as its parent asks for them. */
function usage() {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  return {
    cpuMs: (userCPUTime + systemCPUTime) / 1000,
    rssMb: process.memoryUsage.rss() / 2 ** 20,
    maxRssMb: maxRSS / 1024,
  };
}

/** Makes this process do what its parent asks, one of `orders` at a time; `usage` is always known. It ends with its parent. */
export function serve(orders: Readonly<Record<string, (value: unknown) => unknown>>): void {
  const all: typeof orders = { ...orders, usage };
  async function obey(message: unknown): Promise<void> {
    const { id, order, value } = request.parse(message);
    try {
      process.send?.({ id, result: await all[order]?.(value) });
    } catch (error) {
      process.send?.({
        id,
        failure: error instanceof Error ? (error.stack ?? error.message) : String(error),
      });
    }
  }
  process.on('message', (message) => void obey(message));
  process.on('disconnect', () => process.exit(0));
}
