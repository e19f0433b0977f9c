-- What analysts see: stable names, read-only, a comment on everything.
create schema tim;

comment on schema tim is
  'Mirror of the friend groups (分组) of every enrolled account of Tencent Cloud IM. Read-only.';

do $$
begin
  -- A user without the right to create roles migrates where the role is there.
  if not exists (select from pg_roles where rolname = 'tim_reader') then
    create role tim_reader nologin;
  end if;
exception
  -- Roles belong to the whole server, so another database may have made it, perhaps at this moment.
  when duplicate_object or unique_violation then null;
  when insufficient_privilege then
    raise exception 'role tim_reader is missing and this user may not create it'
      using hint = 'Let an administrator run: create role tim_reader nologin;';
end
$$;

-- Every group has its account and every member its group. The views join them from the left all the same: then a
-- question that needs nothing of the account, or of the group, does not read it.

create view tim.accounts as
select
  account.app_id,
  account.account_id,
  state.status::text as status,
  state.group_count::integer as group_count,
  state.sequence,
  state.verified_at,
  state.changed_at,
  account.enrolled_at,
  failure.code as last_error_code,
  failure.message as last_error
from mirror.account
join mirror.poll_state state using (account_key)
left join lateral (
  select outcome.code, outcome.message
  from mirror.poll_outcome outcome
  where outcome.account_key = account.account_key
    and (state.fail_count > 0 or state.status in ('gone', 'quarantined'))
  order by outcome.claim_no desc
  limit 1
) failure on true;

comment on view tim.accounts is 'One row for each enrolled account.';
comment on column tim.accounts.app_id is 'SDKAppID of the app.';
comment on column tim.accounts.account_id is 'UserID of the account; compared byte for byte.';
comment on column tim.accounts.status is
  'pending: never read; active: mirrored; gone: the vendor says it does not exist; quarantined: the vendor or the mirror cannot handle it, see last_error.';
comment on column tim.accounts.group_count is 'Number of groups the account has now.';
comment on column tim.accounts.sequence is 'The vendor''s counter for this account''s groups, as last read; null before the first read.';
comment on column tim.accounts.verified_at is 'When the request was sent whose answer proves the mirrored state; null before the first read.';
comment on column tim.accounts.changed_at is 'When the last change was read; null if none was.';
comment on column tim.accounts.enrolled_at is 'When the account was given to the mirror.';
comment on column tim.accounts.last_error_code is 'The vendor''s code for why the last poll failed; 0 when there was no answer; null when it did not fail.';
comment on column tim.accounts.last_error is 'The vendor''s words for why the last poll failed; null when it did not fail.';

create view tim.friend_group_history as
select
  account.app_id,
  account.account_id,
  friend_group.group_name,
  friend_group.friend_number,
  friend_group.added_at,
  friend_group.removed_at
from mirror.friend_group
left join mirror.account using (account_key);

comment on view tim.friend_group_history is 'Every group that was ever mirrored, with the time in which it was there.';
comment on column tim.friend_group_history.app_id is 'SDKAppID of the app.';
comment on column tim.friend_group_history.account_id is 'UserID of the account that owns the group.';
comment on column tim.friend_group_history.group_name is 'Name of the group, which is its identity; compared byte for byte.';
comment on column tim.friend_group_history.friend_number is 'Number of friends as the vendor last reported it.';
comment on column tim.friend_group_history.added_at is 'When the group was first seen.';
comment on column tim.friend_group_history.removed_at is 'When the group was first seen to be gone; null while it is there.';

create view tim.friend_groups as
select
  account.app_id,
  account.account_id,
  friend_group.group_name,
  friend_group.friend_number,
  friend_group.added_at
from mirror.friend_group
left join mirror.account using (account_key)
where friend_group.removed_at is null;

comment on view tim.friend_groups is 'The groups that are there now.';
comment on column tim.friend_groups.app_id is 'SDKAppID of the app.';
comment on column tim.friend_groups.account_id is 'UserID of the account that owns the group.';
comment on column tim.friend_groups.group_name is 'Name of the group, which is its identity; compared byte for byte.';
comment on column tim.friend_groups.friend_number is 'Number of friends as the vendor reports it.';
comment on column tim.friend_groups.added_at is 'When the group was first seen.';

create view tim.friend_group_member_history as
select
  account.app_id,
  account.account_id,
  friend_group.group_name,
  member.friend_id,
  member.added_at,
  member.removed_at
from mirror.friend_group_member member
left join mirror.friend_group using (group_key)
left join mirror.account using (account_key);

comment on view tim.friend_group_member_history is 'Every membership that was ever mirrored, with the time in which it was there.';
comment on column tim.friend_group_member_history.app_id is 'SDKAppID of the app.';
comment on column tim.friend_group_member_history.account_id is 'UserID of the account that owns the group.';
comment on column tim.friend_group_member_history.group_name is 'Name of the group.';
comment on column tim.friend_group_member_history.friend_id is 'UserID of the friend in the group; compared byte for byte.';
comment on column tim.friend_group_member_history.added_at is 'When the friend was first seen in the group.';
comment on column tim.friend_group_member_history.removed_at is 'When the friend was first seen to be gone from the group; null while there.';

create view tim.friend_group_members as
select
  account.app_id,
  account.account_id,
  friend_group.group_name,
  member.friend_id,
  member.added_at
from mirror.friend_group_member member
left join mirror.friend_group using (group_key)
left join mirror.account using (account_key)
where member.removed_at is null;

comment on view tim.friend_group_members is 'Who is in which group now. A friend may be in several groups of one account.';
comment on column tim.friend_group_members.app_id is 'SDKAppID of the app.';
comment on column tim.friend_group_members.account_id is 'UserID of the account that owns the group.';
comment on column tim.friend_group_members.group_name is 'Name of the group.';
comment on column tim.friend_group_members.friend_id is 'UserID of the friend in the group; compared byte for byte.';
comment on column tim.friend_group_members.added_at is 'When the friend was first seen in the group.';

create view tim.changes as
select
  change.change_id,
  change.app_id,
  account.account_id,
  change.kind::text as kind,
  change.group_name,
  change.friend_id,
  change.observed_at,
  change.sequence,
  change.tx_id,
  change.old_group_name
from mirror.change
left join mirror.account using (account_key);

comment on view tim.changes is
  'Everything that was written to the mirror, oldest change_id first within a transaction. Replayed from the start, without group_renamed, it gives the mirror.';
comment on column tim.changes.change_id is 'Number of the change; grows, with gaps, within one account.';
comment on column tim.changes.app_id is 'SDKAppID of the app.';
comment on column tim.changes.account_id is 'UserID of the account whose groups changed.';
comment on column tim.changes.kind is 'group_added, group_removed, member_added, member_removed; or group_renamed, which says of a group removed and one added in the same transaction that they are one.';
comment on column tim.changes.group_name is 'Name of the group that came, went, or whose members changed; of a rename the new one.';
comment on column tim.changes.friend_id is 'UserID of the friend who came or went; null for a group''s own coming, going and renaming.';
comment on column tim.changes.observed_at is 'When the request was sent whose answer showed the change; it happened between then and the poll before.';
comment on column tim.changes.sequence is 'The vendor''s counter in the answer that showed the change; null when the account itself was gone or taken out.';
comment on column tim.changes.tx_id is
  'Transaction that wrote it. A consumer reads tx_id < pg_snapshot_xmin(pg_current_snapshot()) in the order of tx_id, change_id.';
comment on column tim.changes.old_group_name is
  'Name of the group before it was renamed: at least 80 % of the members are the same, and no other group fits as well. Null for every other kind.';

create view tim.freshness as
select
  app.app_id,
  count(state.account_key) as accounts,
  count(*) filter (where state.account_key is not null and state.first_polled_at is null) as never_read,
  count(*) filter (
    where state.status = 'active'
      and extract(epoch from now() - state.verified_at)
        > 60 + 1.5 * greatest(app.weight_sum / app.calls_per_second, 60) / state.weight
  ) as overdue,
  percentile_cont(0.5) within group (order by now() - state.verified_at)
    filter (where state.status = 'active') as age_p50,
  percentile_cont(0.95) within group (order by now() - state.verified_at)
    filter (where state.status = 'active') as age_p95,
  percentile_cont(0.99) within group (order by now() - state.verified_at)
    filter (where state.status = 'active') as age_p99,
  max(now() - state.verified_at) filter (where state.status = 'active') as age_max
from mirror.app
left join mirror.poll_state state using (app_id)
group by app.app_id;

comment on view tim.freshness is 'How old the mirror is, for each app: the age of an account is now() - verified_at. Reads every account.';
comment on column tim.freshness.app_id is 'SDKAppID of the app.';
comment on column tim.freshness.accounts is 'Number of enrolled accounts.';
comment on column tim.freshness.never_read is 'Accounts that were never read.';
comment on column tim.freshness.overdue is 'Active accounts that have waited half as long again as the polling policy gives them, and a minute.';
comment on column tim.freshness.age_p50 is 'Half of the active accounts are younger.';
comment on column tim.freshness.age_p95 is '95 % of the active accounts are younger.';
comment on column tim.freshness.age_p99 is '99 % of the active accounts are younger.';
comment on column tim.freshness.age_max is 'Age of the oldest active account.';

-- Columns of `returns table` have the collation of the database, which fits no index of ours; those of a type can be
-- told theirs.
create type tim.group_at as (
  app_id bigint, account_id text collate "C", group_name text collate "C", added_at timestamptz
);

create type tim.group_member_at as (
  app_id bigint, account_id text collate "C", group_name text collate "C", friend_id text collate "C",
  added_at timestamptz
);

comment on type tim.group_at is 'One row of tim.friend_groups_at.';
comment on column tim.group_at.app_id is 'SDKAppID of the app.';
comment on column tim.group_at.account_id is 'UserID of the account that owned the group.';
comment on column tim.group_at.group_name is 'Name of the group; compared byte for byte.';
comment on column tim.group_at.added_at is 'When the group was first seen.';

comment on type tim.group_member_at is 'One row of tim.friend_group_members_at.';
comment on column tim.group_member_at.app_id is 'SDKAppID of the app.';
comment on column tim.group_member_at.account_id is 'UserID of the account that owned the group.';
comment on column tim.group_member_at.group_name is 'Name of the group.';
comment on column tim.group_member_at.friend_id is 'UserID of the friend in the group; compared byte for byte.';
comment on column tim.group_member_at.added_at is 'When the friend was first seen in the group.';

create function tim.friend_groups_at(at timestamptz) returns setof tim.group_at
language sql stable as $$
  select history.app_id, history.account_id, history.group_name, history.added_at
  from tim.friend_group_history history
  where history.added_at <= at and (history.removed_at is null or history.removed_at > at)
$$;

comment on function tim.friend_groups_at(timestamptz) is 'The groups that the mirror knew to be there at a moment.';

create function tim.friend_group_members_at(at timestamptz) returns setof tim.group_member_at
language sql stable as $$
  select history.app_id, history.account_id, history.group_name, history.friend_id, history.added_at
  from tim.friend_group_member_history history
  where history.added_at <= at and (history.removed_at is null or history.removed_at > at)
$$;

comment on function tim.friend_group_members_at(timestamptz) is 'Who the mirror knew to be in which group at a moment.';

grant usage on schema tim to tim_reader;
grant select on all tables in schema tim to tim_reader;
grant execute on all functions in schema tim to tim_reader;
