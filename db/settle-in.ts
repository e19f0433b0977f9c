import type { Database } from './client.ts';
import { continueFeed, type FeedJump } from './queries/feed.ts';
import { hasMovedServer, type Installation, settleInstallation } from './queries/installation.ts';

/** What became of a mirror that may be a copy of another. */
interface Settled {
  readonly installation: Installation;
  /** How the numbers of the feed went on, where they had to. */
  readonly jump: FeedJump | undefined;
}

/**
 * Makes the mirror at home in this database: an identity of its own, and numbers of the feed that no consumer has passed.
 * A mirror that comes from another server always goes on from higher numbers, for the last line may lie below what
 * consumers have seen of the old server. Interrupted, it is done again.
 */
export async function settleIn(db: Database, { restored = false } = {}): Promise<Settled> {
  const jump = await continueFeed(db, { always: restored || (await hasMovedServer(db)) });
  return { jump, installation: await settleInstallation(db) };
}
