import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { DB } from '../schema.ts';

/** Rows of `mirror.poll_state` under the name `state`: all of them, or of a large table a sample of random pages. */
interface SampledStates {
  readonly source: RawBuilder<unknown>;
  /** How many rows one of these represents. */
  readonly factor: number;
}

// This many rows are read whatever the size of the table: 0.2 to 0.6 s, and counts are good to a few percent.
const rowsRead = 100_000;
/** Up to here every row is read: figures that people compare with what they know are exact. */
const exactUpTo = 200_000;

/** Chooses the rows from which stats of the whole mirror are estimated. */
export async function sampleStates(db: Kysely<DB>): Promise<SampledStates> {
  const { rows } = await sql<{ rows: number }>`
    select reltuples::float8 as rows from pg_class where oid = 'mirror.poll_state'::regclass
  `.execute(db);
  const size = rows[0]?.rows ?? 0;
  if (size <= exactUpTo) return { source: sql`mirror.poll_state state`, factor: 1 };
  const factor = size / rowsRead;
  return { source: sql`mirror.poll_state state tablesample system (${100 / factor})`, factor };
}
