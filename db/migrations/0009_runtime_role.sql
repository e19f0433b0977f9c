-- The daemon may run as a role that owns no table. What takes an owner's right, months of the feed that come and go, is
-- done by these two functions, and nothing else.

alter function mirror.attach_change_months(integer) security definer;
revoke execute on function mirror.attach_change_months(integer) from public;

-- Takes a month out of the feed and drops it; false while a session reads it. Only whole months that ended before the day.
create function mirror.drop_change_month(month text) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '200ms' as $$
declare
  part regclass := to_regclass(format('mirror.%I', month));
begin
  if part is null or month !~ '^change_\d{4}_\d\d' then
    raise exception '% is no month of the feed', month using errcode = '22023';
  end if;
  if exists (
    select from mirror.change_partitions() where partition = part and ends > now() - interval '1 day'
  ) then
    raise exception '% is not over', month using errcode = '22023';
  end if;
  begin
    if exists (select from pg_inherits where inhrelid = part and not inhdetachpending) then
      execute format('alter table mirror.change detach partition %s', part);
    elsif exists (select from pg_inherits where inhrelid = part) then
      execute format('alter table mirror.change detach partition %s finalize', part);
    end if;
    execute format('drop table %s', part);
  exception when lock_not_available then
    return false;
  end;
  return true;
end
$$;

revoke execute on function mirror.drop_change_month(text) from public;
