-- Where accounts come from: a query on the customer's own database.

-- Set while the app's source names the account, since a sync last read it wholly. What the source has never named is
-- none of its business: imported, added by hand, discovered. An account that is taken out by hand keeps the mark, and so
-- stays out while the source goes on naming it.
alter table mirror.account add column in_source boolean not null default false;

-- A sync goes through what the source has named by now.
create index account_in_source on mirror.account (app_id, account_key) where in_source;

-- One row an app that has a source: the last good sync, the failures since, and who syncs at present.
create table mirror.account_source (
  app_id bigint primary key references mirror.app,
  -- the fencing token: a sync raises it, and one that was overtaken stores nothing
  run_no integer not null default 0,
  leased_until timestamptz,
  began_at timestamptz,
  -- the last good sync: distinct accounts named, rows that held none, and what came of them
  synced_at timestamptz,
  named bigint,
  bad bigint,
  enrolled bigint,
  vanished bigint,
  removed bigint,
  -- set while syncs fail
  failing_since timestamptz,
  failed_at timestamptz,
  failure text,
  check ((failing_since is null) = (failure is null))
);
