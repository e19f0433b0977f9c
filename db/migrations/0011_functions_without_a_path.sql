-- Functions that analysts call are bound to what they name when they are made, whatever search_path their caller has.
-- A setting of their own would do so too, but then Postgres could not plan a query through them.

create or replace function tim.friend_groups_at(at timestamptz) returns setof tim.group_at
language sql stable
begin atomic
  select history.app_id, history.account_id, history.group_name, history.added_at
  from tim.friend_group_history history
  where history.added_at <= at and (history.removed_at is null or history.removed_at > at);
end;

create or replace function tim.friend_group_members_at(at timestamptz) returns setof tim.group_member_at
language sql stable
begin atomic
  select history.app_id, history.account_id, history.group_name, history.friend_id, history.added_at
  from tim.friend_group_member_history history
  where history.added_at <= at and (history.removed_at is null or history.removed_at > at);
end;
