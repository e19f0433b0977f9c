import { type Kysely, sql } from 'kysely';
import type { DB } from '../schema.ts';

/** A cell of the histogram of what polls have shown (src/schedule/learning.ts): how many polls fell into it. */
export interface LearningCell {
  readonly appId: number;
  readonly intervalLog2: number;
  readonly expectedLog2: number;
  readonly step: string;
  readonly polls: number;
  /** The sum of the changes that were expected of them. */
  readonly expected: number;
}

/** Adds what a process has seen. */
export async function addLearning(db: Kysely<DB>, cells: readonly LearningCell[]): Promise<void> {
  if (cells.length === 0) return;
  await sql`
    insert into mirror.learning (app_id, interval_log2, expected_log2, step, polls, expected)
    select "appId", "intervalLog2", "expectedLog2", step, polls, expected
    from json_to_recordset(${JSON.stringify(cells)}::json) as seen (
      "appId" bigint, "intervalLog2" smallint, "expectedLog2" smallint, step text, polls bigint, expected float8
    )
    -- Two processes at once take the rows in one order.
    order by "appId", "intervalLog2", "expectedLog2", step
    on conflict (app_id, interval_log2, expected_log2, step) do update
      set polls = mirror.learning.polls + excluded.polls, expected = mirror.learning.expected + excluded.expected
  `.execute(db);
}

/** Everything that was ever seen of an app. */
export async function readLearning(db: Kysely<DB>, appId: number): Promise<readonly LearningCell[]> {
  const rows = await db
    .selectFrom('mirror.learning')
    .selectAll()
    .where('app_id', '=', appId)
    .orderBy('interval_log2')
    .orderBy('expected_log2')
    .execute();
  return rows.map((row) => ({
    appId: row.app_id,
    intervalLog2: row.interval_log2,
    expectedLog2: row.expected_log2,
    step: row.step,
    polls: row.polls,
    expected: row.expected,
  }));
}
