import { type Kysely, sql } from 'kysely';
import type { DB } from '../schema.ts';

/** How the rate of change of an account follows from its state: the policy's constants (src/schedule/policy.ts). */
export interface RateRule {
  readonly memoryDays: number;
  readonly priorChanges: number;
  readonly priorDays: number;
}

/** Rows that are looked at, however many there are: pages taken at random, so within 3 %. */
const rowsSampled = 150_000;

/**
 * Counts the line: accounts, the sum of weights, and by the rule how much changes a day and how much of that is not in
 * the tables yet. Exact for small tables, a sample for large ones: the policy does not mind a tenth.
 */
export async function countLine(db: Kysely<DB>, appId: number, rule: RateRule): Promise<void> {
  const { rows } = await sql<{ estimate: number }>`
    select reltuples::float8 as estimate from pg_class where oid = 'mirror.poll_state'::regclass
  `.execute(db);
  const scale = Math.max(1, (rows[0]?.estimate ?? 0) / rowsSampled);
  const source =
    scale === 1
      ? sql`mirror.poll_state state`
      : sql`mirror.poll_state state tablesample system (${100 / scale})`;
  await sql`
    update mirror.app set
      account_count = round(line.accounts * ${scale}::float8),
      weight_sum = line.weights * ${scale}::float8,
      changes_per_day = line.changes * ${scale}::float8,
      changes_missing = line.missing * ${scale}::float8,
      counted_at = clock_timestamp()
    from (
      select
        count(*) as accounts,
        coalesce(sum(weight), 0) as weights,
        coalesce(sum(rate), 0) as changes,
        coalesce(sum(rate * age), 0) as missing
      from ${source}
      left join lateral (
        select seen.rate / (1 + seen.rate * seen.silence / 2) as rate, seen.age
        from (
          select
            -- At most 50: Postgres raises an error where the exponential of more comes to nothing.
            (change_mass + ${rule.priorChanges}::float8)
              / (${rule.memoryDays}::float8 * (1 - exp(-least(days.watched / ${rule.memoryDays}::float8, 50))) + ${rule.priorDays}::float8)
              as rate,
            days.silence,
            days.age
          from (
            select
              extract(epoch from verified_at - first_polled_at)::float8 / 86400 as watched,
              extract(epoch from verified_at - coalesce(changed_at, first_polled_at))::float8 / 86400 as silence,
              extract(epoch from greatest(clock_timestamp() - verified_at, interval '0'))::float8 / 86400 as age
          ) days
        ) seen
        where status = 'active'
      ) estimate on true
      where app_id = ${appId}
    ) line
    where app.app_id = ${appId}
  `.execute(db);
}
