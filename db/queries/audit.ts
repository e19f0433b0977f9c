import { type Kysely, sql } from 'kysely';
import type { DB } from '../schema.ts';
import type { MirroredGroup } from './groups.ts';

/** An account that can be compared with the vendor: read before, and with nothing pending or held. */
export interface AuditableAccount {
  readonly accountKey: number;
  readonly accountId: string;
}

const auditable = sql`
  state.status = 'active' and state.content_hash is not null and state.pending_hash is null
`;

/** Accounts taken at random. In large tables from random pages, so that it costs the same at any size. */
export async function sampleAccounts(
  db: Kysely<DB>,
  appId: number,
  count: number,
): Promise<readonly AuditableAccount[]> {
  const size = await sql<{ rows: number }>`
    select greatest(reltuples, 0)::float8 as rows from pg_class where oid = 'mirror.poll_state'::regclass
  `.execute(db);
  // Fifty times as many rows as are wanted, so that those of one page seldom come together.
  const percent = Math.min(100, (5000 * count) / Math.max(size.rows[0]?.rows ?? 0, 1));
  const source =
    percent >= 100
      ? sql`mirror.poll_state state`
      : sql`mirror.poll_state state tablesample system (${percent})`;
  const { rows } = await sql<AuditableAccount>`
    select state.account_key as "accountKey", account.account_id as "accountId"
    from ${source} join mirror.account using (account_key)
    where state.app_id = ${appId} and ${auditable}
    order by random()
    limit ${count}
  `.execute(db);
  return rows;
}

/** The accounts that follow `after` in the order of their keys: all of them, page by page. */
export async function pageAccounts(
  db: Kysely<DB>,
  appId: number,
  after: number,
  limit: number,
): Promise<readonly AuditableAccount[]> {
  const { rows } = await sql<AuditableAccount>`
    select state.account_key as "accountKey", account.account_id as "accountId"
    from mirror.poll_state state join mirror.account using (account_key)
    where state.app_id = ${appId} and state.account_key > ${after} and ${auditable}
    order by state.account_key
    limit ${limit}
  `.execute(db);
  return rows;
}

/** What the mirror holds of an account, all as of one moment. */
interface MirroredAccount {
  readonly sequence: number | null;
  readonly groups: readonly MirroredGroup[];
}

/** Reads an account's mirror, in one statement and so as of one moment; undefined when it can't be compared any more. */
export async function readMirroredAccount(
  db: Kysely<DB>,
  accountKey: number,
): Promise<MirroredAccount | undefined> {
  const { rows } = await sql<{ sequence: number | null; group: MirroredGroup | null }>`
    select
      state.sequence,
      case when friend_group.group_key is not null then json_build_object(
        'groupKey', friend_group.group_key,
        'name', friend_group.group_name,
        'friendNumber', friend_group.friend_number,
        'members', array(
          select member.friend_id from mirror.friend_group_member member
          where member.group_key = friend_group.group_key and member.removed_at is null
        )
      ) end as group
    from mirror.poll_state state
    left join mirror.friend_group
      on friend_group.account_key = state.account_key and friend_group.removed_at is null
    where state.account_key = ${accountKey} and ${auditable}
  `.execute(db);
  const [first] = rows;
  return first && { sequence: first.sequence, groups: rows.flatMap(({ group }) => group ?? []) };
}

/** How comparisons have come out. */
interface AuditCounts {
  readonly checked: number;
  readonly stale: number;
  readonly wrong: number;
}

/** Adds comparisons to those of today. */
export async function addAudit(db: Kysely<DB>, appId: number, counts: AuditCounts): Promise<void> {
  if (counts.checked === 0) return;
  await sql`
    insert into mirror.audit (app_id, day, checked, stale, wrong)
    values (${appId}, current_date, ${counts.checked}, ${counts.stale}, ${counts.wrong})
    on conflict (app_id, day) do update set
      checked = mirror.audit.checked + excluded.checked,
      stale = mirror.audit.stale + excluded.stale,
      wrong = mirror.audit.wrong + excluded.wrong
  `.execute(db);
}

/** Comparisons of the last seven days. */
export interface WeekOfAudits extends AuditCounts {
  readonly appId: number;
  /** Of `wrong`, those of today and yesterday that no operator has acknowledged. */
  readonly wrongLately: number;
}

/** Comparisons of the last seven days, by app. */
export async function readAudits(db: Kysely<DB>): Promise<readonly WeekOfAudits[]> {
  const { rows } = await sql<WeekOfAudits>`
    select
      app_id as "appId", sum(checked)::bigint as checked, sum(stale)::bigint as stale, sum(wrong)::bigint as wrong,
      coalesce(sum(wrong - acknowledged) filter (where day >= current_date - 1), 0)::bigint as "wrongLately"
    from mirror.audit where day > current_date - 7 group by app_id
  `.execute(db);
  return rows;
}

/** Takes note that an operator has looked into the wrong accounts of an app so far. Returns how many there were. */
export async function acknowledgeWrong(db: Kysely<DB>, appId: number): Promise<number> {
  const { rows } = await sql<{ wrong: number }>`
    with noted as (
      update mirror.audit audit set acknowledged = audit.wrong
      from mirror.audit before
      where before.app_id = audit.app_id and before.day = audit.day
        and audit.app_id = ${appId} and audit.acknowledged < audit.wrong
      returning audit.wrong - before.acknowledged as wrong
    )
    select coalesce(sum(wrong), 0)::bigint as wrong from noted
  `.execute(db);
  return rows[0]?.wrong ?? 0;
}

/**
 * Has an account read in full, first in the queue: it was found to be wrong. A poll that is under way still believes in
 * the account's old state, so it is fenced off.
 */
export async function requestFullRead(db: Kysely<DB>, accountKey: number): Promise<void> {
  await sql`
    update mirror.poll_state set
      due_v = '-infinity', full_read_at = null, content_hash = null,
      claim_no = claim_no + 1, leased_until = null
    where account_key = ${accountKey}
  `.execute(db);
}
