-- Where a callback of the vendor's says that an account has probably changed, and when it says that we call too often.

alter table mirror.poll_state
  -- stands in the line of hinted accounts from then on; null for nearly all. Its place in the other line is kept beside
  -- it, so that no flood of hints can cost an account its turn.
  add column hinted_at timestamptz;

create index poll_state_hinted on mirror.poll_state (app_id, hinted_at) where hinted_at is not null;

alter table mirror.app
  -- until then every process sends no more than slowed_to
  add column slowed_until timestamptz,
  add column slowed_to integer;
