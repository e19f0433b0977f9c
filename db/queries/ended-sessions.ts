import { type Kysely, sql } from 'kysely';
import type { DB } from '../schema.ts';

/** Notes that a session was logged out, until it would have ended by itself; forgets those that have. */
export async function endSession(db: Kysely<DB>, sessionId: string, endsAt: Date): Promise<void> {
  await sql`delete from mirror.ended_session where ends_at < now() - interval '1 hour'`.execute(db);
  await sql`
    insert into mirror.ended_session (session_id, ends_at) values (${sessionId}, ${endsAt})
    on conflict do nothing
  `.execute(db);
}

/** The sessions that were logged out and have not ended by themselves. */
export async function readEndedSessions(db: Kysely<DB>): Promise<ReadonlySet<string>> {
  const { rows } = await sql<{ id: string }>`select session_id as id from mirror.ended_session`.execute(db);
  return new Set(rows.map(({ id }) => id));
}
