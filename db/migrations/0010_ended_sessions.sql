-- Sessions of the page that were logged out before their end, so that no replica takes their cookie any more.
create table mirror.ended_session (
  session_id text primary key,
  ends_at timestamptz not null
);
comment on table mirror.ended_session is 'Sessions of the page that were logged out. Each row goes when its session would have ended by itself.';
