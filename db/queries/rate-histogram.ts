import { type Kysely, sql } from 'kysely';
import type { DB } from '../schema.ts';
import { sampleStates } from './sampled-states.ts';

/** Accounts whose changes have been seen alike: averages of what is known of them. */
interface SeenAlike {
  readonly accounts: number;
  readonly decayedChanges: number;
  /** From the first read to the last. */
  readonly watchedDays: number;
  /** From the last change, or the first read, to the last read. */
  readonly silentDays: number;
}

export interface RateHistogram {
  readonly neverPolled: number;
  /** Active accounts. */
  readonly seen: readonly SeenAlike[];
}

/**
 * What has been seen of an app's accounts, as a histogram of some thousand lines at most. Every row of a small table; a
 * sample of a large one.
 */
export async function readRateHistogram(db: Kysely<DB>, appId: number): Promise<RateHistogram> {
  const { source, factor } = await sampleStates(db);
  const { rows } = await sql<SeenAlike & { neverPolled: boolean }>`
    select
      first_polled_at is null as "neverPolled",
      count(*)::float8 * ${factor}::float8 as accounts,
      avg(change_mass) as "decayedChanges",
      coalesce(avg(watched), 0) as "watchedDays",
      coalesce(avg(silent), 0) as "silentDays"
    from (
      select
        first_polled_at,
        change_mass,
        (extract(epoch from verified_at - first_polled_at) / 86400)::float8 as watched,
        (extract(epoch from verified_at - coalesce(changed_at, first_polled_at)) / 86400)::float8 as silent
      from ${source}
      where app_id = ${appId} and status in ('never_polled', 'active')
    ) known
    -- Four steps for each factor of e and for each of the first ten days: what lies within one is alike.
    group by
      first_polled_at is null,
      round(ln(change_mass + 0.01) * 4),
      least(floor(watched * 4), 40),
      round(ln(greatest(silent, 0) + 0.01) * 4)
  `.execute(db);
  return {
    neverPolled: rows.filter((row) => row.neverPolled).reduce((sum, row) => sum + row.accounts, 0),
    seen: rows.filter((row) => !row.neverPolled).map(({ neverPolled: _, ...alike }) => alike),
  };
}
