import { z } from 'zod';
import { seedAccounts } from '../support/seed-mirror.ts';
import { serve } from '../support/serve.ts';
import { vendorAddress } from './simple-caller.ts';

const begin = z.object({
  vendor: vendorAddress,
  /** As the vendor holds them: they have been read before. */
  accounts: seedAccounts,
  databaseUrl: z.string(),
  redisUrl: z.string(),
  /** Calls under way at once. */
  callsUnderWay: z.number(),
});
/** What a peer of the engine is given. */
export type PeerOrder = z.infer<typeof begin>;

/** Another way to poll accounts: works until it is stopped, and counts its polls. */
interface Peer {
  /** Polls until `until` (`performance.now()`); resolves when nothing is under way. */
  work(until: number): Promise<void>;
  readonly polls: () => number;
}

/** Serves a peer: `begin`, and `work` for this many milliseconds. */
export function servePeer(open: (order: PeerOrder) => Promise<Peer>): void {
  let peer: Peer | undefined;
  serve({
    async begin(value) {
      peer = await open(begin.parse(value));
    },
    async work(value) {
      const started = performance.now();
      const before = peer?.polls() ?? 0;
      await peer?.work(started + z.number().parse(value));
      return { polls: (peer?.polls() ?? 0) - before, ms: performance.now() - started };
    },
  });
}
