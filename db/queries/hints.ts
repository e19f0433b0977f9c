import { type Kysely, sql } from 'kysely';
import type { DB } from '../schema.ts';

interface HintRequest {
  readonly appId: number;
  /** Free of duplicates. */
  readonly ids: readonly string[];
  /** How long a claim lasts, from which follows when an account that is claimed was. */
  readonly leaseSeconds: number;
  /** This long after one poll has begun a hint asks for the next at the earliest. */
  readonly pauseSeconds: number;
}

/**
 * Puts accounts into the line of those that have probably changed. One that is there keeps its place, one that is
 * being polled or was a moment ago comes again after the pause, and one that fails, or whose last answer waits for a
 * second one, waits for its own time. Returns the ids that are not enrolled.
 */
export async function hintAccounts(db: Kysely<DB>, request: HintRequest): Promise<readonly string[]> {
  const { appId, ids, leaseSeconds, pauseSeconds } = request;
  if (ids.length === 0) return [];
  const { rows } = await sql<{ id: string }>`
    with asked as materialized (
      select id, account.account_key
      from unnest(${ids}::text[]) as asked (id)
      left join mirror.account
        on account.app_id = ${appId} and account.account_id = id and account.unenrolled_at is null
    ), standing as (
      -- In one order, so that two processes can't lock each other out.
      select state.account_key
      from asked join mirror.poll_state state using (account_key)
      where state.hinted_at is null and state.fail_count = 0 and state.pending_hash is null
      order by state.account_key
      for update of state
    ), hinted as (
      update mirror.poll_state state
      set hinted_at = greatest(
        clock_timestamp(),
        verified_at + ${pauseSeconds} * interval '1 second',
        leased_until - (${leaseSeconds}::float8 - ${pauseSeconds}) * interval '1 second'
      )
      from standing where state.account_key = standing.account_key and state.hinted_at is null
    )
    select id from asked where account_key is null
  `.execute(db);
  return rows.map((row) => row.id);
}

/** The limit that the vendor has asked an app to keep. */
interface Slowing {
  readonly callsPerSecond: number;
  readonly seconds: number;
}

/** Makes all processes of an app send less for a while. A slower rate that still holds stays. */
export async function slowApp(db: Kysely<DB>, appId: number, slowing: Slowing): Promise<void> {
  await sql`
    update mirror.app set
      slowed_to = case when slowed_until > clock_timestamp()
        then least(slowed_to, ${slowing.callsPerSecond}) else ${slowing.callsPerSecond} end,
      slowed_until = clock_timestamp() + ${slowing.seconds} * interval '1 second'
    where app_id = ${appId}
  `.execute(db);
}
