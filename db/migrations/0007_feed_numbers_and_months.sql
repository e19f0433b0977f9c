-- The numbers of the change feed go on after a restore, and a month counts as made when it is attached.

-- One row. It is read by every statement that writes lines of the feed, and written by a repair alone.
create table mirror.feed (
  only_row boolean primary key default true check (only_row),
  -- Added to a transaction's number to give its lines theirs. Above 0 once the mirror was restored into a server that
  -- counts transactions from a lower number. The default of mirror.change.tx_id does not know it, for a new default
  -- waits for every reader of the feed and holds up all behind it: a statement that writes lines names their tx_id.
  tx_offset bigint not null default 0 check (tx_offset >= 0),
  -- why a month from now on has no table, in a sentence; null while all have theirs
  months_problem text
);

insert into mirror.feed default values;

-- Analysts may not read mirror.feed, so the function reads it with the rights of its owner.
create function tim.feed_horizon() returns xid8
language plpgsql stable parallel safe security definer
set search_path = pg_catalog, pg_temp as $$
begin
  return (
    select (pg_snapshot_xmin(pg_current_snapshot())::text::bigint + tx_offset)::text::xid8 from mirror.feed
  );
end
$$;

comment on function tim.feed_horizon() is
  'Where the change feed ends for now: every line with a smaller tx_id can be read, and no more such lines come.';
comment on column tim.changes.tx_id is
  'Number of the transaction that wrote it. A consumer reads tx_id < tim.feed_horizon() in the order of tx_id, change_id.';

grant execute on function tim.feed_horizon() to tim_reader;

-- The functions below state what the text of a time depends on: bounds of partitions are read and written as text.

-- The months of the feed. One that is detaching takes no new rows, and hides from new readers.
create function mirror.change_partitions()
returns table (partition regclass, begins timestamptz, ends timestamptz, detaching boolean)
language sql stable
set search_path = pg_catalog, pg_temp set datestyle = 'ISO, YMD' set timezone = 'UTC' as $function$
  select
    inhrelid::regclass,
    coalesce(bounds[1]::timestamptz, '-infinity'),
    coalesce(bounds[2]::timestamptz, 'infinity'),
    inhdetachpending
  from pg_inherits
  join pg_class on pg_class.oid = inhrelid
  cross join lateral regexp_match(
    -- Of no table: with the table, this waits for a detach that is being finished, which waits for older readers.
    pg_get_expr(relpartbound, 0),
    $$^FOR VALUES FROM \((?:'([^']+)'|MINVALUE)\) TO \((?:'([^']+)'|MAXVALUE)\)$$
  ) bounds
  where inhparent = 'mirror.change'::regclass and bounds is not null
$function$;

-- What no partition covers of the time from an hour ago to the end of the months ahead, each part within a month.
-- An hour, for a change bears the time at which its request was sent.
create function mirror.missing_change_parts(months_ahead integer)
returns table (month date, begins timestamptz, ends timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp set datestyle = 'ISO, YMD' set timezone = 'UTC' as $$
  select month::date, lower(part), upper(part)
  from generate_series(
    date_trunc('month', now() - interval '1 hour'),
    date_trunc('month', now()) + make_interval(months => months_ahead),
    interval '1 month'
  ) month
  cross join lateral unnest(
    tstzmultirange(tstzrange(month, month + interval '1 month')) - coalesce(
      (select range_agg(tstzrange(begins, ends)) from mirror.change_partitions() where not detaching),
      '{}'::tstzmultirange
    )
  ) part
  where upper(part) > now() - interval '1 hour'
  order by 2
$$;

create or replace function mirror.missing_change_months(months_ahead integer) returns setof date
language sql stable
set search_path = pg_catalog, pg_temp set datestyle = 'ISO, YMD' set timezone = 'UTC' as $$
  select distinct month from mirror.missing_change_parts(months_ahead) order by month
$$;

-- Makes a table for each missing part and attaches it, or attaches the one that is there by that name. Returns what
-- came of each; a table that does not fit stays as it is, with the reason. A table made apart and then attached takes
-- a lock on mirror.change that readers and writers do not mind; `partition of` would wait for every reader.
create function mirror.attach_change_months(months_ahead integer)
returns table (partition text, begins timestamptz, ends timestamptz, present boolean, detaching boolean, failure text)
language plpgsql
set search_path = pg_catalog, pg_temp set datestyle = 'ISO, YMD' set timezone = 'UTC' as $$
#variable_conflict use_column
declare
  part record;
  there regclass;
begin
  -- Two processes at once: the second waits, and then finds them made.
  perform pg_advisory_xact_lock(hashtext('tim-mirror change partitions'));
  for part in select * from mirror.missing_change_parts(months_ahead) loop
    partition := to_char(part.begins, '"change_"YYYY_MM');
    begins := part.begins;
    ends := part.ends;
    present := part.begins <= now();
    detaching := false;
    failure := null;
    -- The month's table covers another part of it: this part gets a table of its own.
    if exists (
      select from mirror.change_partitions() attached
      where attached.partition = to_regclass(format('mirror.%I', partition)) and not attached.detaching
    ) then
      partition := to_char(part.begins, '"change_"YYYY_MM_DD_HH24MI');
    end if;
    there := to_regclass(format('mirror.%I', partition));
    if exists (select from mirror.change_partitions() attached where attached.partition = there) then
      detaching := true;
      failure := 'its detach waits for those who read it';
      return next;
      continue;
    end if;
    begin
      if there is null then
        execute format('create table mirror.%I (like mirror.change including defaults including constraints)', partition);
      end if;
      execute format(
        'alter table mirror.change attach partition mirror.%I for values from (%L) to (%L)', partition, begins, ends
      );
      -- By which a subscriber, or a tool that reads the changes of tables, knows the rows that are deleted.
      execute format('alter table mirror.%I replica identity using index %I', partition, (
        select relname from pg_inherits join pg_class on pg_class.oid = inhrelid
        join pg_index on indexrelid = inhrelid
        where inhparent = 'mirror.change_feed'::regclass and indrelid = format('mirror.%I', partition)::regclass
      ));
    exception when others then
      -- Only what is wrong with a table that was there is a result, or with a default partition that holds rows of this
      -- time; locks, disks and rights over a new table are errors.
      if (there is null and sqlstate <> '23514') or sqlstate ~ '^(40|53|55|57|58|XX)' then raise; end if;
      failure := sqlerrm;
    end;
    return next;
  end loop;
end
$$;

create or replace function mirror.ensure_change_partitions(months_ahead integer) returns integer
language sql
set search_path = pg_catalog, pg_temp set datestyle = 'ISO, YMD' set timezone = 'UTC' as $$
  select count(*)::integer from mirror.attach_change_months(months_ahead) where failure is null
$$;
