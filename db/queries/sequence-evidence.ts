import { type Kysely, sql } from 'kysely';
import type { DB } from '../schema.ts';

/** How often answers of an app showed one thing of how the vendor treats sequences. */
export interface EvidenceCount {
  readonly appId: number;
  readonly observation: string;
  readonly count: number;
}

/** Adds what a process has observed. */
export async function addEvidence(db: Kysely<DB>, counted: readonly EvidenceCount[]): Promise<void> {
  if (counted.length === 0) return;
  await sql`
    insert into mirror.sequence_evidence (app_id, observation, count)
    select "appId", observation, count
    from json_to_recordset(${JSON.stringify(counted)}::json) as counted ("appId" bigint, observation text, count bigint)
    -- Two processes at once take the rows in one order.
    order by observation
    on conflict (app_id, observation) do update
      set count = mirror.sequence_evidence.count + excluded.count, last_seen_at = clock_timestamp()
  `.execute(db);
}

/** All that was ever observed. */
export async function readEvidence(
  db: Kysely<DB>,
): Promise<readonly (EvidenceCount & { readonly lastSeenAt: Date })[]> {
  const rows = await db.selectFrom('mirror.sequence_evidence').selectAll().orderBy('observation').execute();
  return rows.map((row) => ({
    appId: row.app_id,
    observation: row.observation,
    count: row.count,
    lastSeenAt: row.last_seen_at,
  }));
}
