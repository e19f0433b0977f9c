-- Accounts that have lost so much in one answer that it takes a second one to believe it. Whether too many of an app
-- shrink at once is a question about accounts, not about polls, and an operator wants to see what was believed.

create table mirror.shrunk_account (
  account_key bigint primary key references mirror.account on delete cascade,
  app_id bigint not null,
  -- the last first answer that took so much
  shrunk_at timestamptz not null default clock_timestamp(),
  -- what it would take, or has taken
  groups integer not null,
  members integer not null,
  -- set when a second answer agreed and the rows were removed
  believed_at timestamptz
);

create index shrunk_account_time on mirror.shrunk_account (app_id, shrunk_at);

-- Within how many seconds so many accounts shrank, when the hold began.
alter table mirror.app add column removals_window_seconds integer;
