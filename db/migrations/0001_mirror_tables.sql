-- The tables the daemon writes. Analysts never see this schema; they see the views of schema tim.
-- The runner has made schema mirror, for its own record of migrations.

comment on schema mirror is 'What tim-mirror keeps: polling state and the mirrored groups. Read schema tim instead.';

create type mirror.account_status as enum ('pending', 'active', 'gone', 'quarantined');
create type mirror.change_kind as enum ('group_added', 'group_removed', 'member_added', 'member_removed', 'group_renamed');

-- One row an app: its virtual clock, the size of its line, and whether it is halted.
create table mirror.app (
  app_id bigint primary key,
  calls_per_second integer not null default 190,
  -- what the daemon was told last
  min_interval_seconds double precision not null default 30,
  max_interval_seconds double precision not null default 86400,
  -- the polling policy's virtual clock, in units (src/schedule/virtual-clock.ts)
  virtual_clock double precision not null default 0,
  claim_ceiling double precision not null default 0,
  clock_moved_at timestamptz not null default now(),
  dispatched_at timestamptz,
  -- the size of the line, counted once a minute
  account_count bigint not null default 0,
  weight_sum double precision not null default 0,
  -- estimated with it: how much changes, and how much of that is not in the tables yet
  changes_per_day double precision not null default 0,
  changes_missing double precision not null default 0,
  counted_at timestamptz,
  -- set while the vendor refuses the app as a whole
  halted_at timestamptz,
  halt_kind text,
  halt_code integer,
  halt_message text,
  probe_at timestamptz,
  probe_count integer not null default 0,
  -- set while so many accounts shrink that no removal is believed until an operator has looked
  removals_held_at timestamptz,
  removals_shrunk integer,
  removals_read integer,
  -- until then the operator vouches for removals
  removals_free_until timestamptz
) with (fillfactor = 50);

create table mirror.account (
  account_key bigint generated always as identity primary key,
  app_id bigint not null references mirror.app,
  account_id text collate "C" not null,
  enrolled_at timestamptz not null default now(),
  -- set when an operator took the account out: it is polled no more and its past stays
  unenrolled_at timestamptz,
  -- of its polling state when it was taken out: when it comes back, claims go on from here, so that an answer from
  -- before fits none of them
  last_claim_no integer not null default 0,
  unique (app_id, account_id)
);

-- The one row a poll touches, so it is narrow and nothing else carries a stamp. Postgres keeps the truth of
-- the schedule; a row exists exactly as long as the account is enrolled.
create table mirror.poll_state (
  account_key bigint primary key references mirror.account on delete cascade,
  app_id bigint not null,
  -- virtual due time; '-infinity' is the head of the line (a hint, or an operator's sync)
  due_v double precision not null,
  weight double precision not null default 1,
  change_mass double precision not null default 0,
  sequence bigint,
  first_polled_at timestamptz,
  verified_at timestamptz,
  full_read_at timestamptz,
  changed_at timestamptz,
  pending_at timestamptz,
  -- set while a claim keeps others away; real time, for the virtual clock may leap, and not indexed, so that
  -- claiming rewrites no index
  leased_until timestamptz,
  -- the fencing token: a claim raises it, and an answer to an older claim is dropped
  claim_no integer not null default 0,
  status mirror.account_status not null default 'pending',
  group_count integer not null default 0,
  fail_count integer not null default 0,
  -- of the groups as last written, and of a removal that waits for a second read that agrees
  content_hash bytea,
  pending_hash bytea
) with (
  -- a poll rewrites its row twice; room on the page and an early vacuum keep table and index small
  fillfactor = 85,
  autovacuum_vacuum_scale_factor = 0.02,
  autovacuum_vacuum_cost_delay = 0
);

-- Each row stands in exactly one of the two lines, so the split costs no writes.
create index poll_state_known_due on mirror.poll_state (app_id, due_v) where first_polled_at is not null;
create index poll_state_unseen_due on mirror.poll_state (app_id, due_v) where first_polled_at is null;

-- Few rows stand in any of these cases, and status asks for them.
create index poll_state_trouble on mirror.poll_state (app_id)
  where fail_count > 0 or status in ('gone', 'quarantined') or pending_hash is not null;

-- The last ten outcomes of each account, other than "nothing new", whose number the claims in between tell.
create table mirror.poll_outcome (
  account_key bigint not null references mirror.account on delete cascade,
  claim_no integer not null,
  at timestamptz not null default clock_timestamp(),
  outcome text not null,
  -- the vendor's code for a failure; 0 where there was no answer
  code integer,
  message text,
  primary key (account_key, claim_no)
);

-- What would be removed from an account if removals were not held.
create table mirror.held_removal (
  account_key bigint primary key references mirror.account on delete cascade,
  app_id bigint not null,
  held_at timestamptz not null default clock_timestamp(),
  -- set when the operator has let it through; it goes with the account's next read
  released_at timestamptz,
  groups integer not null,
  members integer not null
);

create table mirror.friend_group (
  group_key bigint generated always as identity primary key,
  account_key bigint not null references mirror.account on delete cascade,
  group_name text collate "C" not null,
  friend_number integer not null,
  added_at timestamptz not null,
  removed_at timestamptz,
  check (removed_at >= added_at)
);

create unique index friend_group_current on mirror.friend_group (account_key, group_name) where removed_at is null;
-- current and past: the history of an account, and the deletes that follow from that of an account
create index friend_group_account on mirror.friend_group (account_key);
-- retention
create index friend_group_removed on mirror.friend_group (removed_at) where removed_at is not null;

-- Hundreds of millions of rows: no column that is not needed. Unique among what is current.
create table mirror.friend_group_member (
  group_key bigint not null references mirror.friend_group on delete cascade,
  friend_id text collate "C" not null,
  added_at timestamptz not null,
  removed_at timestamptz,
  check (removed_at >= added_at)
);

create unique index friend_group_member_current on mirror.friend_group_member (group_key, friend_id)
  where removed_at is null;
-- current and past, as above: 12 bytes a row, beside the 56 of the index that is unique
create index friend_group_member_group on mirror.friend_group_member (group_key);
create index friend_group_member_removed on mirror.friend_group_member (removed_at) where removed_at is not null;
-- in whose groups somebody is, or was
create index friend_group_member_friend on mirror.friend_group_member (friend_id);

-- No cache: within an account, whose row the writer has locked, numbers grow.
create sequence mirror.change_id_seq;

-- Everything that was ever written to the mirror, in the transaction that wrote it.
create table mirror.change (
  change_id bigint not null default nextval('mirror.change_id_seq'),
  app_id bigint not null,
  account_key bigint not null,
  kind mirror.change_kind not null,
  group_name text collate "C" not null,
  friend_id text collate "C",
  observed_at timestamptz not null,
  sequence bigint,
  tx_id xid8 not null default pg_current_xact_id(),
  old_group_name text collate "C",
  check ((kind = 'group_renamed') = (old_group_name is not null))
) partition by range (observed_at);

alter sequence mirror.change_id_seq owned by mirror.change.change_id;

-- How a consumer reads on: everything after (tx_id, change_id) whose transaction is finished.
create index change_feed on mirror.change (tx_id, change_id);
create index change_account on mirror.change (account_key, change_id);
-- Changes come in the order of time, so a summary of each 32 pages finds those of a day.
create index change_observed on mirror.change using brin (observed_at) with (pages_per_range = 32, autosummarize = on);

-- What every process has done, in buckets of ten seconds: calls sent, and polls by outcome.
create table mirror.activity (
  app_id bigint not null references mirror.app,
  bucket timestamptz not null,
  event text not null,
  count integer not null,
  primary key (app_id, bucket, event)
);

-- How answers stood to the sequence that was asked with: what the vendor means by it.
create table mirror.sequence_evidence (
  app_id bigint not null references mirror.app,
  observation text not null,
  count bigint not null,
  last_seen_at timestamptz not null default clock_timestamp(),
  primary key (app_id, observation)
);

-- What polls have shown of how accounts change, to see whether the policy's assumptions hold: a histogram whose axes
-- are powers of two, a few hundred rows an app.
create table mirror.learning (
  app_id bigint not null references mirror.app,
  -- seconds since the good poll before
  interval_log2 smallint not null,
  -- changes that the estimate expected meanwhile
  expected_log2 smallint not null,
  -- by how much the sequence moved
  step text not null,
  polls bigint not null,
  -- the sum of what was expected, to be compared with the polls that showed a change
  expected double precision not null,
  primary key (app_id, interval_log2, expected_log2, step)
);

-- Comparisons of the mirror with full reads of accounts taken at random.
create table mirror.audit (
  app_id bigint not null references mirror.app,
  day date not null,
  checked integer not null,
  -- changed at the vendor since the last poll
  stale integer not null,
  -- different although nothing had changed
  wrong integer not null,
  primary key (app_id, day)
);

-- The months from this one on for which mirror.change has no partition.
create function mirror.missing_change_months(months_ahead integer) returns setof date
language sql as $$
  select month::date
  from generate_series(
    date_trunc('month', now() at time zone 'utc'),
    date_trunc('month', now() at time zone 'utc') + make_interval(months => months_ahead),
    interval '1 month'
  ) month
  where to_regclass(format('mirror.change_%s', to_char(month, 'YYYY_MM'))) is null
$$;

-- Makes the partitions for these months. A table made apart and then attached takes a lock on mirror.change that
-- readers and writers do not mind; `partition of` would wait for every reader, and all others would wait behind it.
create function mirror.ensure_change_partitions(months_ahead integer) returns integer
language plpgsql as $$
declare
  month date;
  partition text;
  made integer := 0;
begin
  -- Two processes at once: the second waits, and then finds them made.
  perform pg_advisory_xact_lock(hashtext('tim-mirror change partitions'));
  for month in select mirror.missing_change_months(months_ahead) loop
    partition := format('change_%s', to_char(month, 'YYYY_MM'));
    execute format('create table mirror.%I (like mirror.change including defaults including constraints)', partition);
    execute format(
      'alter table mirror.change attach partition mirror.%I for values from (%L) to (%L)',
      partition, month::timestamp at time zone 'utc', (month + interval '1 month')::timestamp at time zone 'utc'
    );
    made := made + 1;
  end loop;
  return made;
end
$$;

select mirror.ensure_change_partitions(3);
