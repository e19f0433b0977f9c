import { type Kysely, sql } from 'kysely';
import type { DB } from '../schema.ts';
import { sampleStates } from './sampled-states.ts';

/** How the rate of change of an account follows from its state: the policy's constants (src/schedule/policy.ts). */
interface RateRule {
  readonly memoryDays: number;
  readonly priorChanges: number;
  readonly priorDays: number;
}

/**
 * Counts the queue: accounts, the sum of weights, and by the rule how much changes a day and how much of that is not in
 * the tables yet. Exact for small tables, a sample for large ones: the policy does not mind a tenth.
 */
export async function countQueue(db: Kysely<DB>, appId: number, rule: RateRule): Promise<void> {
  const { source, factor } = await sampleStates(db);
  await sql`
    update mirror.app set
      account_count = round(queue.accounts * ${factor}::float8),
      weight_sum = queue.weights * ${factor}::float8,
      changes_per_day = queue.changes * ${factor}::float8,
      changes_missing = queue.missing * ${factor}::float8,
      counted_at = clock_timestamp()
    from (
      select
        count(*) as accounts,
        coalesce(sum(weight), 0) as weights,
        coalesce(sum(rate), 0) as changes,
        coalesce(sum(rate * age), 0) as missing
      from (
        select weight, rate / (1 + rate * silence / 2) as rate, age
        from (
          select
            weight,
            silence,
            age,
            case when status = 'active' then
              -- At most 50: Postgres raises an error where the exponential of more comes to nothing.
              (change_mass + ${rule.priorChanges}::float8)
                / (${rule.memoryDays}::float8 * (1 - exp(-least(watched / ${rule.memoryDays}::float8, 50))) + ${rule.priorDays}::float8)
            end as rate
          from (
            -- date_part gives double precision; extract gives numeric, which takes three times as long.
            select
              weight,
              change_mass,
              status,
              date_part('epoch', verified_at - first_polled_at) / 86400 as watched,
              date_part('epoch', verified_at - coalesce(changed_at, first_polled_at)) / 86400 as silence,
              date_part('epoch', greatest(statement_timestamp() - verified_at, interval '0')) / 86400 as age
            from ${source}
            where app_id = ${appId}
          ) days
          -- Keeps the planner from writing an expression out wherever it is used: it would be computed four times.
          offset 0
        ) rates
        offset 0
      ) seen
    ) queue
    where app.app_id = ${appId}
  `.execute(db);
}
